// Secrets as they are known to people: all but the value. Each can be rotated and removed.
import { useMutation } from "@tanstack/react-query";
import { KeyRound, LockKeyhole, RefreshCw, Trash2 } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Badge } from "../ui/Badge.tsx";
import { Button, IconButton } from "../ui/Button.tsx";
import { Confirm, Dialog } from "../ui/Dialog.tsx";
import { Row, Section, Sections } from "../ui/Section.tsx";
import { Empty, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { useToast } from "../ui/Toast.tsx";
import { RecipientNames } from "./Recipients.tsx";
import { EMPTY_VALUE, textOf, ValueFields } from "./ValueFields.tsx";

type Secret = Schemas["Secret"];

interface Props {
  /** A project, or `platform`. */
  owner: string;
  secrets: readonly Schemas["SecretView"][] | undefined;
  mayManage: boolean;
  command: string;
  children?: React.ReactNode;
}

export function SecretList({ owner, secrets, mayManage, command, children }: Props) {
  // What people get has no value; whatever had one is not shown.
  const known = secrets?.filter((secret): secret is Secret => !("value" in secret));
  return (
    <Sections label="Secrets">
      <Section
        title="Secrets"
        about="Encrypted in git. An agent gets them once for a job; nothing gives a value back to a person."
      >
        {!known && <SkeletonRows rows={3} />}
        {known?.length === 0 && (
          <Empty icon={LockKeyhole} title="No secrets yet" command={command}>
            Keys to other services, such as the language model that answers chats. Add one here, or with
          </Empty>
        )}
        <ul aria-label="Secrets">
          {known?.map((secret) => (
            <SecretRow key={secret.name} owner={owner} secret={secret} mayManage={mayManage} />
          ))}
        </ul>
      </Section>
      {children}
    </Sections>
  );
}

/** What the kinds with one secret each open. */
const OPENS = { llm: "model of chats", github: "GitHub", drive: "drive" } as const;

function SecretRow({ owner, secret, mayManage }: { owner: string; secret: Secret; mayManage: boolean }) {
  const [open, setOpen] = useState<"rotate" | "remove" | null>(null);
  const close = () => setOpen(null);
  return (
    <Row>
      <KeyRound size={15} aria-hidden className="shrink-0 text-muted" />
      <div className="mr-auto min-w-40 flex-1">
        <span className="flex items-center gap-2">
          <span className="font-mono font-medium break-all">{secret.name}</span>
          {secret.kind !== "named" && <Badge>{OPENS[secret.kind]}</Badge>}
        </span>
        <span className="block text-xs text-muted">
          {secret.rotatedAt ? (
            <>
              rotated <Time at={secret.rotatedAt} />
            </>
          ) : (
            <>
              stored <Time at={secret.createdAt} />
            </>
          )}{" "}
          · first by {secret.createdBy} · <RecipientNames keys={secret.recipients} />
        </span>
      </div>
      <span className="flex gap-1">
        <Button disabled={!mayManage} aria-label={`Rotate ${secret.name}`} onClick={() => setOpen("rotate")}>
          <RefreshCw size={13} aria-hidden />
          Rotate
        </Button>
        <IconButton label={`Delete ${secret.name}`} disabled={!mayManage} onClick={() => setOpen("remove")}>
          <Trash2 size={15} aria-hidden />
        </IconButton>
      </span>
      <Dialog title={`Rotate ${secret.name}`} isOpen={open === "rotate"} onClose={close}>
        <Rotate owner={owner} secret={secret} onClose={close} />
      </Dialog>
      <Remove owner={owner} secret={secret} isOpen={open === "remove"} onClose={close} />
    </Row>
  );
}

interface DeedProps {
  owner: string;
  secret: Secret;
  onClose(): void;
}

function Rotate({ owner, secret, onClose }: DeedProps) {
  const [value, setValue] = useState(EMPTY_VALUE);
  const toast = useToast();
  const rotate = useMutation({
    // Nothing of it is kept when it is done.
    gcTime: 0,
    mutationFn: () =>
      client.POST("/admin/secrets/{id}/{name}/rotate", {
        params: { path: { id: owner, name: secret.name } },
        body: { value: textOf(secret.kind, value) },
      }),
    onSuccess() {
      toast({ tone: "good", text: `${secret.name} has its new value.` });
      onClose();
    },
  });
  return (
    <form
      className="flex flex-col gap-4"
      autoComplete="off"
      onSubmit={(event) => {
        event.preventDefault();
        rotate.mutate();
      }}
    >
      <p className="text-muted">
        The next job gets the new value. What stood in git stays there: after a leak, change it where it is
        used too.
      </p>
      <ValueFields kind={secret.kind} label="New value" value={value} onChange={setValue} />
      <Refusal error={rotate.error} />
      <Button type="submit" look="primary" className="self-end" isBusy={rotate.isPending}>
        Rotate it
      </Button>
    </form>
  );
}

function Remove({ owner, secret, isOpen, onClose }: DeedProps & { isOpen: boolean }) {
  const remove = useMutation({
    mutationFn: () =>
      client.DELETE("/admin/secrets/{id}/{name}", { params: { path: { id: owner, name: secret.name } } }),
    onSuccess: onClose,
  });
  return (
    <Confirm
      title={`Delete ${secret.name}?`}
      isOpen={isOpen}
      onClose={onClose}
      deed="Delete it"
      isBusy={remove.isPending}
      onConfirm={() => remove.mutate()}
    >
      Jobs that name it will fail. Its ciphertext stays in git's history.
      <Refusal error={remove.error} />
    </Confirm>
  );
}

// Stores a secret. The value is sent once and forgotten here.
import { useMutation } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field, SelectField } from "../ui/Field.tsx";
import { useToast } from "../ui/Toast.tsx";
import { EMPTY_VALUE, textOf, ValueFields } from "./ValueFields.tsx";

type Kind = Schemas["SecretKind"];
const KINDS = [
  { value: "named", text: "With a name of its own, for builds" },
  { value: "llm", text: "llm: the language model of chats" },
  { value: "github", text: "github: access to GitHub" },
  { value: "drive", text: "drive: access to a drive" },
] as const satisfies { value: Kind; text: string }[];

interface Props {
  /** None is the platform, whose secrets are every project's defaults. */
  project: string | null;
  isDisabled: boolean;
  /** Why it is. */
  reason?: string | undefined;
}

export function AddSecret({ project, isDisabled, reason }: Props) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <Button look="primary" disabled={isDisabled} title={reason} onClick={() => setIsOpen(true)}>
        <Plus size={15} aria-hidden />
        Add a secret
      </Button>
      <Dialog title="Add a secret" isOpen={isOpen} onClose={() => setIsOpen(false)}>
        <Form project={project} onDone={() => setIsOpen(false)} />
      </Dialog>
    </>
  );
}

function Form({ project, onDone }: { project: string | null; onDone(): void }) {
  const [kind, setKind] = useState<Kind>("named");
  const [name, setName] = useState("");
  const [value, setValue] = useState(EMPTY_VALUE);
  const toast = useToast();
  const store = useMutation({
    // Nothing of it is kept when it is done.
    gcTime: 0,
    mutationFn: () =>
      client.POST("/admin/secrets", {
        body: {
          projectId: project,
          kind,
          ...(kind === "named" && { name: name.trim() }),
          value: textOf(kind, value),
        },
      }),
    onSuccess() {
      toast({ tone: "good", text: `${kind === "named" ? name.trim() : kind} is stored.` });
      onDone();
    },
  });
  return (
    <form
      className="flex flex-col gap-4"
      autoComplete="off"
      onSubmit={(event) => {
        event.preventDefault();
        store.mutate();
      }}
    >
      <SelectField
        label="Kind"
        options={KINDS}
        value={kind}
        onChange={(event) => setKind(event.target.value as Kind)}
      />
      {kind === "named" && (
        <Field
          label="Name"
          hint="a–z, 0–9 and -; a step of a build that names it finds it as MRX_SECRET_…"
          required
          pattern="[a-z0-9\-]+"
          placeholder="signing-key"
          spellCheck={false}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
      )}
      <ValueFields kind={kind} label="Value" value={value} onChange={setValue} />
      <Refusal error={store.error} />
      <Button type="submit" look="primary" className="self-end" isBusy={store.isPending}>
        Store it
      </Button>
    </form>
  );
}

// Who can decrypt secrets: the daemon, and those whose keys an admin has listed.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { X } from "lucide-react";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import { reading, type Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { useIsNow, useSession } from "../session/session.ts";
import { Button, IconButton } from "../ui/Button.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { Row, Section } from "../ui/Section.tsx";
import { ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { useToast } from "../ui/Toast.tsx";

type Recipient = Schemas["Recipient"];

function useRecipients() {
  const { role } = useSession();
  return useQuery({ ...reading("/admin/recipients"), enabled: role === "admin" });
}

/** The names of keys, as far as one may know them; the keys themselves on hover. The first is the daemon's. */
export function RecipientNames({ keys }: { keys: readonly string[] }) {
  const { data } = useRecipients();
  const nameOf = (key: string, index: number) =>
    data?.recipients.find((one) => one.key === key)?.name ??
    (index === 0 ? "the daemon" : `${key.slice(0, 12)}…`);
  return <span title={keys.join("\n")}>can be decrypted by {keys.map(nameOf).join(", ")}</span>;
}

export function Recipients() {
  const recipients = useRecipients();
  const isNow = useIsNow();
  const [leaving, setLeaving] = useState<Recipient | null>(null);
  const set = useSetRecipients(() => setLeaving(null));
  const all = recipients.data?.recipients ?? [];
  return (
    <Section
      title="Who can decrypt"
      about="Besides the daemon: each secret of the platform and of every project is encrypted for these keys (age or SSH). A change encrypts all of them anew."
    >
      {recipients.isPending && <SkeletonRows rows={2} />}
      {recipients.isError && <ErrorNote error={recipients.error} onRetry={() => void recipients.refetch()} />}
      <ul aria-label="Recipients">
        {all.map((one) => (
          <Row key={one.key}>
            <span className="font-medium">{one.name}</span>
            <code className="min-w-0 flex-1 truncate font-mono text-xs text-muted" title={one.key}>
              {one.key}
            </code>
            <IconButton label={`Remove ${one.name}`} disabled={!isNow} onClick={() => setLeaving(one)}>
              <X size={15} aria-hidden />
            </IconButton>
          </Row>
        ))}
      </ul>
      {recipients.isSuccess && all.length === 0 && (
        <p className="px-4 py-3 text-muted">
          The daemon alone. Back up its key, or list another one here: without any key the secrets are lost.
        </p>
      )}
      {recipients.data && <AddRecipient all={all} isNow={isNow} />}
      <Confirm
        title={`Take ${leaving?.name} off the list?`}
        isOpen={leaving !== null}
        onClose={() => setLeaving(null)}
        deed="Take it off"
        isBusy={set.isPending}
        onConfirm={() => set.mutate(all.filter((one) => one.key !== leaving?.key))}
      >
        Whoever has that key can still read older commits: rotate the values too.
        <Refusal error={set.error} />
      </Confirm>
    </Section>
  );
}

function useSetRecipients(onDone: () => void) {
  const queries = useQueryClient();
  const toast = useToast();
  return useMutation({
    mutationFn: (recipients: Recipient[]) => client.PUT("/admin/recipients", { body: { recipients } }),
    onSuccess({ data }) {
      const left = data?.notResealed ?? [];
      if (left.length > 0) {
        toast({
          tone: "bad",
          text: `The secrets of ${left.join(", ")} could not be read; the log says why.`,
        });
      } else toast({ tone: "good", text: "All secrets are encrypted for the new list." });
      void queries.invalidateQueries({ queryKey: ["/admin/recipients"] });
      void queries.invalidateQueries({ queryKey: ["/admin/secrets/{id}"] });
      onDone();
    },
  });
}

function AddRecipient({ all, isNow }: { all: Recipient[]; isNow: boolean }) {
  const [name, setName] = useState("");
  const [key, setKey] = useState("");
  const set = useSetRecipients(() => {
    setName("");
    setKey("");
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    set.mutate([...all, { name: name.trim(), key: key.trim() }]);
  };
  return (
    <form className="flex flex-col gap-3 border-t border-line p-4" onSubmit={submit}>
      <div className="flex flex-wrap items-end gap-2">
        <Field
          label="Name"
          className="w-32"
          required
          disabled={!isNow}
          placeholder="anna"
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <Field
          label="Public key"
          className="min-w-52 flex-1"
          required
          disabled={!isNow}
          placeholder="age1… or ssh-ed25519 AAAA…"
          spellCheck={false}
          value={key}
          onChange={(event) => setKey(event.target.value)}
        />
        <Button type="submit" disabled={!isNow} isBusy={set.isPending}>
          Add
        </Button>
      </div>
      <Refusal error={set.error} />
    </form>
  );
}

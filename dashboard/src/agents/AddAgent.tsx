// Adds an agent: a machine with a key of its own, or a notebook with a one-time code.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Choice, Field } from "../ui/Field.tsx";
import { Labels, Projects } from "./EditAgent.tsx";
import { NewKey } from "./NewKey.tsx";
import { Notebook } from "./Notebook.tsx";
import { anyOrWords, wordsOf } from "./words.ts";

type Made = { name: string; labels: string[] } & (
  | { kind: "machine"; secret: string }
  | { kind: "notebook"; code: string; until: string }
);

const KINDS = [
  { value: "machine", text: "A machine, with a key of its own" },
  { value: "notebook", text: "A notebook (Colab), with a one-time code" },
];
/** The longest that a code can last. */
const CODE_SECONDS = 300;

export function AddAgent({ isOpen, onClose }: { isOpen: boolean; onClose(): void }) {
  const [made, setMade] = useState<Made | null>(null);
  const close = () => {
    setMade(null);
    onClose();
  };
  if (made?.kind === "machine") return <NewKey {...made} title={`${made.name} is added`} onClose={close} />;
  if (made?.kind === "notebook") return <Notebook {...made} onClose={close} />;
  return (
    <Dialog title="Add an agent" isOpen={isOpen} onClose={close}>
      <Form onMade={setMade} onClose={close} />
    </Dialog>
  );
}

function Form({ onMade, onClose }: { onMade(made: Made): void; onClose(): void }) {
  const [kind, setKind] = useState("machine");
  const [name, setName] = useState("");
  const [labels, setLabels] = useState("");
  const [projects, setProjects] = useState("");
  const queries = useQueryClient();
  const add = useMutation({
    async mutationFn(): Promise<Made> {
      const about = { name, labels: wordsOf(labels) };
      const limits = { agentId: name, projects: anyOrWords(projects) };
      if (kind === "machine") {
        const body = { ...limits, allowedLabels: anyOrWords(labels) };
        const { data } = await client.POST("/admin/agents", { body });
        return { ...about, kind, secret: data?.key ?? "" };
      }
      const body = { ...limits, labels: anyOrWords(labels), ttlSeconds: CODE_SECONDS };
      const { data } = await client.POST("/agents/claim-secret", { body });
      return { ...about, kind: "notebook", code: data?.claimSecret ?? "", until: data?.expiresAt ?? "" };
    },
    onSuccess(made) {
      void queries.invalidateQueries({ queryKey: ["/agents"] });
      onMade(made);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate();
  };
  return (
    <form className="flex flex-col gap-4" onSubmit={submit}>
      <Choice
        label="What kind of agent"
        className="max-w-full"
        options={KINDS}
        value={kind}
        onChange={(event) => setKind(event.target.value)}
      />
      <Field
        label="Name"
        placeholder={kind === "machine" ? "builder-1" : "colab-1"}
        autoFocus
        required
        spellCheck={false}
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <Labels value={labels} onChange={setLabels} />
      <Projects value={projects} onChange={setProjects} />
      <Refusal error={add.error} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" look="primary" isBusy={add.isPending}>
          {kind === "machine" ? "Add it and make its key" : "Make a code"}
        </Button>
      </div>
    </form>
  );
}

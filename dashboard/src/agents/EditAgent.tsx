// Changes what an agent may do: its projects and labels.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import type { Agent } from "./AgentsPage.tsx";
import { anyOrWords } from "./words.ts";

export function EditAgent({ agent, onClose }: { agent: Agent; onClose(): void }) {
  const [projects, setProjects] = useState(agent.projects?.join(", ") ?? "");
  const [labels, setLabels] = useState(agent.allowedLabels?.join(", ") ?? "");
  const queries = useQueryClient();
  const save = useMutation({
    mutationFn: () =>
      client.PATCH("/admin/agents/{agentId}", {
        params: { path: { agentId: agent.agentId } },
        body: { projects: anyOrWords(projects), allowedLabels: anyOrWords(labels) },
      }),
    onSuccess() {
      void queries.invalidateQueries({ queryKey: ["/agents"] });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog title={`What ${agent.agentId} may do`} isOpen onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        <Projects value={projects} onChange={setProjects} />
        <Labels value={labels} onChange={setLabels} />
        <Refusal error={save.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" isBusy={save.isPending}>
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

interface ListProps {
  value: string;
  onChange(value: string): void;
}

export function Projects({ value, onChange }: ListProps) {
  return (
    <Field
      label="Projects"
      hint="Those it gets jobs of, separated by commas; all if empty."
      placeholder="all"
      spellCheck={false}
      value={value}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

export function Labels({ value, onChange }: ListProps) {
  return (
    <Field
      label="Labels"
      hint="Those it may offer, such as linux, gpu; any if empty."
      placeholder="any"
      spellCheck={false}
      value={value}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

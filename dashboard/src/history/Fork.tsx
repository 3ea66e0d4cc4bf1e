// Makes a fork: a second project whose state begins as this one's was at a commit.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";

export function Fork({ project, oid, onClose }: { project: string; oid: string; onClose(): void }) {
  const [id, setId] = useState("");
  const [run, setRun] = useState(false);
  const queries = useQueryClient();
  const navigate = useNavigate();
  const fork = useMutation({
    mutationFn: async () =>
      (
        await client.POST("/projects/{id}/forks", {
          params: { path: { id: project } },
          body: { at: oid, run, ...(id && { id }) },
        })
      ).data,
    onSuccess(made) {
      void queries.invalidateQueries({ queryKey: ["/projects"] });
      onClose();
      if (made) void navigate({ to: "/projects/$id", params: { id: made.projectId } });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    fork.mutate();
  };
  return (
    <Dialog title="Fork the project from this commit" isOpen onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        <p className="text-muted">
          A second project that begins as this one was then: to rehearse, or to look for a fault. It has the
          jobs, chats, schedules and artifacts of then, and no secrets and no webhooks.
        </p>
        <Field
          label="Name"
          hint={`One is made from ${project} if it is empty.`}
          spellCheck={false}
          autoFocus
          value={id}
          onChange={(event) => setId(event.target.value)}
        />
        <label className="flex items-start gap-2">
          <input
            type="checkbox"
            className="mt-1"
            checked={run}
            onChange={(event) => setRun(event.target.checked)}
          />
          <span>
            Let it run: its open jobs are handed out and its schedules stay on
            <span className="block text-xs text-muted">Else it is only there to be looked at.</span>
          </span>
        </label>
        <Refusal error={fork.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" isBusy={fork.isPending}>
            Make the fork
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

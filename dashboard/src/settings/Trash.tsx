// The trash: 30 days after it was put there, a project's state is removed; its code stays at the forge.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { Section } from "../ui/Section.tsx";
import { Time } from "../ui/Time.tsx";
import { useFailed } from "../ui/Toast.tsx";

interface Props {
  project: Schemas["Project"];
  mayManage: boolean;
}

export function Trash({ project, mayManage }: Props) {
  const [isAsking, setIsAsking] = useState(false);
  return (
    <Section title="Trash">
      <div className="flex flex-wrap items-center gap-3 p-4">
        {project.trashedAt ? (
          <InTrash project={project} mayManage={mayManage} />
        ) : (
          <>
            <p className="min-w-48 flex-1 text-muted">
              After 30 days in the trash the project's state is removed: jobs, chats, logs and artifacts. Its
              code stays at the forge. Until then it can be restored.
            </p>
            <Button look="danger" disabled={!mayManage} onClick={() => setIsAsking(true)}>
              Put into the trash
            </Button>
          </>
        )}
      </div>
      <Dialog title="Put the project into the trash?" isOpen={isAsking} onClose={() => setIsAsking(false)}>
        <Ask id={project.projectId} onDone={() => setIsAsking(false)} />
      </Dialog>
    </Section>
  );
}

function useTrash(id: string, deed: "trash" | "restore") {
  const queries = useQueryClient();
  const params = { path: { id } };
  return useMutation({
    mutationFn: () =>
      deed === "trash"
        ? client.DELETE("/projects/{id}", { params })
        : client.POST("/projects/{id}/restore", { params }),
    // The lists without and with what is in the trash.
    onSuccess: () =>
      queries.invalidateQueries({
        predicate: ({ queryKey: [path] }) => String(path).startsWith("/projects"),
      }),
  });
}

function InTrash({ project, mayManage }: Props) {
  return (
    <>
      <p className="min-w-48 flex-1 text-warn">
        In the trash since {project.trashedAt && <Time at={project.trashedAt} />}
      </p>
      <Restore id={project.projectId} mayManage={mayManage} />
    </>
  );
}

export function Restore({ id, mayManage }: { id: string; mayManage: boolean }) {
  const failed = useFailed();
  const restore = useTrash(id, "restore");
  return (
    <Button
      disabled={!mayManage}
      isBusy={restore.isPending}
      onClick={() => restore.mutate(undefined, { onError: failed })}
    >
      Restore
    </Button>
  );
}

function Ask({ id, onDone }: { id: string; onDone(): void }) {
  const [typed, setTyped] = useState("");
  const trash = useTrash(id, "trash");
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        trash.mutate(undefined, { onSuccess: onDone });
      }}
    >
      <Field
        label={`Type ${id}, so that it is this one`}
        autoFocus
        autoComplete="off"
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
      />
      <Refusal error={trash.error} />
      <div className="flex justify-end gap-2">
        <Button onClick={onDone}>Keep it</Button>
        <Button type="submit" look="danger" disabled={typed.trim() !== id} isBusy={trash.isPending}>
          Put it into the trash
        </Button>
      </div>
    </form>
  );
}

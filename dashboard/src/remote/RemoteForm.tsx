// Sets where a project's state is pushed to.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";

interface Props {
  project: string;
  known: Schemas["RemoteStatus"] | undefined;
  onClose(): void;
}

export function RemoteForm({ project, known, onClose }: Props) {
  const [url, setUrl] = useState(known?.url ?? "");
  const [branch, setBranch] = useState(known?.branch ?? "");
  const queries = useQueryClient();
  const save = useMutation({
    mutationFn: () =>
      client.PATCH("/projects/{id}", {
        params: { path: { id: project } },
        body: { remote: { url, ...(branch && { branch }) } },
      }),
    onSuccess() {
      void queries.invalidateQueries({ queryKey: ["/projects/{id}/remote"] });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog title={known ? "Change the remote" : "Set a remote"} isOpen onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        <Field
          label="Repository"
          hint="https, without a user name or password: the credential is the project's secret named github."
          type="url"
          placeholder="https://github.com/acme/weather-state.git"
          autoFocus
          required
          spellCheck={false}
          value={url}
          onChange={(event) => setUrl(event.target.value)}
        />
        <Field
          label="Branch"
          placeholder="mrx/state"
          spellCheck={false}
          value={branch}
          onChange={(event) => setBranch(event.target.value)}
        />
        <Refusal error={save.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" isBusy={save.isPending}>
            {known ? "Save" : "Set it"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

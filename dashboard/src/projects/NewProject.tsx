// Makes a project, and its repository at the forge.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";

export function NewProject({ isOpen, onClose }: { isOpen: boolean; onClose(): void }) {
  const [name, setName] = useState("mrx-");
  const [description, setDescription] = useState("");
  const queries = useQueryClient();
  const navigate = useNavigate();
  const make = useMutation({
    mutationFn: () => client.POST("/projects", { body: { name, ...(description && { description }) } }),
    onSuccess() {
      void queries.invalidateQueries({ queryKey: ["/projects"] });
      onClose();
      void navigate({ to: "/projects/$id", params: { id: name } });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    make.mutate();
  };
  return (
    <Dialog title="New project" isOpen={isOpen} onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        <Field
          label="Name"
          hint="Its repository has the same name, which begins with mrx- unless the operator chose another prefix."
          autoFocus
          required
          spellCheck={false}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <Field
          label="What it is about"
          value={description}
          onChange={(event) => setDescription(event.target.value)}
        />
        <Refusal error={make.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" isBusy={make.isPending}>
            Make the project
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

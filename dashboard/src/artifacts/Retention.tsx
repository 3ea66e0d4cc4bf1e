// How long a project's artifacts are kept: what either rule keeps is kept.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { useToast } from "../ui/Toast.tsx";

/** What the daemon takes. */
const BUILDS_MAX = 10_000;
const DAYS_MAX = 3650;

export function kept(retention: Schemas["Retention"] | null | undefined): string {
  const rules = [
    retention?.keepBuilds && `the last ${retention.keepBuilds} builds'`,
    retention?.keepDays && `those of ${retention.keepDays} days`,
  ].filter(Boolean);
  return rules.length === 0 ? "All are kept" : `Kept: ${rules.join(" and ")}`;
}

interface Props {
  project: Schemas["Project"];
  isOpen: boolean;
  onClose(): void;
}

export function RetentionDialog(props: Props) {
  return (
    <Dialog title="How long artifacts are kept" isOpen={props.isOpen} onClose={props.onClose}>
      <RetentionForm {...props} />
    </Dialog>
  );
}

function RetentionForm({ project, onClose }: Props) {
  const [builds, setBuilds] = useState(String(project.retention?.keepBuilds ?? ""));
  const [days, setDays] = useState(String(project.retention?.keepDays ?? ""));
  const queries = useQueryClient();
  const toast = useToast();
  const save = useMutation({
    mutationFn: () => {
      const retention = {
        ...(builds && { keepBuilds: Number(builds) }),
        ...(days && { keepDays: Number(days) }),
      };
      return client.PATCH("/projects/{id}", {
        params: { path: { id: project.projectId } },
        body: { retention: builds || days ? retention : null },
      });
    },
    onSuccess() {
      toast({ tone: "good", text: "It is kept so from now on; others go within an hour." });
      void queries.invalidateQueries({ queryKey: ["/projects/{id}"] });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form className="flex flex-col gap-4" onSubmit={submit}>
      <p className="text-muted">What either rule keeps is kept. With neither, all is kept for ever.</p>
      <div className="grid grid-cols-2 gap-4">
        <Field
          label="Of the last builds"
          type="number"
          min={1}
          max={BUILDS_MAX}
          placeholder="no rule"
          value={builds}
          onChange={(event) => setBuilds(event.target.value)}
        />
        <Field
          label="Of the last days"
          type="number"
          min={1}
          max={DAYS_MAX}
          placeholder="no rule"
          value={days}
          onChange={(event) => setDays(event.target.value)}
        />
      </div>
      <Refusal error={save.error} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>Close</Button>
        <Button type="submit" look="primary" isBusy={save.isPending}>
          Save
        </Button>
      </div>
    </form>
  );
}

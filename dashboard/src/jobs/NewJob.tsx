// Queues a job of a project: a build, a patch, or reading the artifacts anew.
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field, inputClass } from "../ui/Field.tsx";

type Kind = "build" | "patch" | "index-rebuild";
const KINDS: { value: Kind; text: string }[] = [
  { value: "build", text: "Build: run the steps of mrx.yaml" },
  { value: "patch", text: "Patch: have the model change the code" },
  { value: "index-rebuild", text: "Index rebuild: check every artifact's bytes" },
];
/** What the daemon takes. */
const HOURS_MAX = 168;

export function NewJob({ id, isOpen, onClose }: { id: string; isOpen: boolean; onClose(): void }) {
  return (
    <Dialog title="New job" isOpen={isOpen} onClose={onClose}>
      <NewJobForm id={id} onClose={onClose} />
    </Dialog>
  );
}

function NewJobForm({ id, onClose }: { id: string; onClose(): void }) {
  const [kind, setKind] = useState<Kind>("build");
  const [ref, setRef] = useState("");
  const [instruction, setInstruction] = useState("");
  const [labels, setLabels] = useState("");
  const [minutes, setMinutes] = useState("60");
  const navigate = useNavigate();
  const make = useMutation({
    async mutationFn() {
      const payload = {
        ...(ref.trim() && kind !== "index-rebuild" && { ref: ref.trim() }),
        ...(kind === "patch" && { instruction }),
      };
      const { data } = await client.POST("/jobs/create", {
        body: {
          ...{ projectId: id, jobType: kind, payload: payload as Record<string, never>, priority: 0 },
          labels: labels.split(/[\s,]+/).filter(Boolean),
          timeoutSeconds: Math.round(Number(minutes) * 60),
        },
      });
      return data;
    },
    onSuccess(made) {
      onClose();
      if (made) void navigate({ to: "/projects/$id/jobs/$job", params: { id, job: made.jobId }, search: {} });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    make.mutate();
  };
  return (
    <form className="flex flex-col gap-4" onSubmit={submit}>
      <label className="flex flex-col gap-1 font-medium">
        What to do
        <select className={inputClass} value={kind} onChange={(event) => setKind(event.target.value as Kind)}>
          {KINDS.map(({ value, text }) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </label>
      {kind === "patch" && (
        <label className="flex flex-col gap-1 font-medium">
          Instruction
          <textarea
            required
            rows={4}
            maxLength={32 << 10}
            className={`${inputClass} h-auto py-1.5 font-normal`}
            placeholder="Greet in French too"
            value={instruction}
            onChange={(event) => setInstruction(event.target.value)}
          />
        </label>
      )}
      {kind !== "index-rebuild" && (
        <Field
          label="Branch, tag or commit"
          placeholder="the default branch"
          spellCheck={false}
          value={ref}
          onChange={(event) => setRef(event.target.value)}
        />
      )}
      <div className="grid gap-4 sm:grid-cols-2">
        <Field
          label="Labels"
          hint="An agent must offer all of them."
          placeholder="linux gpu"
          spellCheck={false}
          value={labels}
          onChange={(event) => setLabels(event.target.value)}
        />
        <Field
          label="May run for, in minutes"
          type="number"
          min={1}
          max={HOURS_MAX * 60}
          required
          value={minutes}
          onChange={(event) => setMinutes(event.target.value)}
        />
      </div>
      <Refusal error={make.error} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>Close</Button>
        <Button type="submit" look="primary" isBusy={make.isPending}>
          Queue the job
        </Button>
      </div>
    </form>
  );
}

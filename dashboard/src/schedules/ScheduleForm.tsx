// Makes a schedule or changes one.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { wordsOf } from "../agents/words.ts";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Choice, Field } from "../ui/Field.tsx";
import { HowField, type HowToRun, howOf, howToRun } from "./How.tsx";
import { When } from "./When.tsx";

const TYPES = ["build", "index-rebuild", "patch", "chat"] as const satisfies Schemas["JobType"][];

interface Props {
  project: string;
  known?: Schemas["Schedule"];
  onClose(): void;
}

export function ScheduleForm({ project, known, onClose }: Props) {
  const [name, setName] = useState(known?.name ?? "");
  const [cron, setCron] = useState(known?.cron ?? "0 3 * * *");
  const [timeZone, setTimeZone] = useState(known?.timeZone ?? "UTC");
  const [jobType, setJobType] = useState<Schemas["JobType"]>(known?.jobType ?? "build");
  const [payload, setPayload] = useState(known?.payload ? JSON.stringify(known.payload) : "");
  const [labels, setLabels] = useState(known?.labels?.join(", ") ?? "");
  const [how, setHow] = useState<HowToRun>(howOf(known));
  const queries = useQueryClient();
  const save = useMutation({
    async mutationFn() {
      const what = { jobType, labels: wordsOf(labels), payload: objectOf(payload) };
      const body = { cron, timeZone, ...what, ...howToRun(how) };
      if (known) {
        const params = { path: { id: project, name: known.name } };
        await client.PATCH("/projects/{id}/schedules/{name}", { params, body });
      } else {
        await client.POST("/projects/{id}/schedules", {
          params: { path: { id: project } },
          body: { ...body, name, concurrencyGroup: body.concurrencyGroup ?? undefined },
        });
      }
    },
    onSuccess() {
      void queries.invalidateQueries({ queryKey: ["/projects/{id}/schedules"] });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog title={known ? `Change ${known.name}` : "New schedule"} isOpen onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        {!known && (
          <Field
            label="Name"
            placeholder="nightly"
            autoFocus
            required
            spellCheck={false}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        )}
        <When cron={cron} timeZone={timeZone} onCron={setCron} onTimeZone={setTimeZone} />
        <div className="flex flex-col gap-1">
          <span className="font-medium" aria-hidden>
            Job
          </span>
          <Choice
            label="Job"
            className="max-w-full"
            value={jobType}
            options={TYPES.map((value) => ({ value, text: value }))}
            onChange={(event) => setJobType(event.target.value as Schemas["JobType"])}
          />
        </div>
        <Field
          label="What the job is to do"
          hint="Its payload, as a JSON object; a build of the default branch if empty."
          placeholder='{"ref": "main"}'
          spellCheck={false}
          className="[&_input]:font-mono"
          value={payload}
          onChange={(event) => setPayload(event.target.value)}
        />
        <Field
          label="Labels"
          hint="What an agent must offer to get the job, such as linux, gpu."
          spellCheck={false}
          value={labels}
          onChange={(event) => setLabels(event.target.value)}
        />
        <HowField how={how} onChange={setHow} />
        <Refusal error={save.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" isBusy={save.isPending}>
            {known ? "Save" : "Make the schedule"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

type Payload = NonNullable<Schemas["NewSchedule"]["payload"]>;

function objectOf(text: string): Payload {
  if (!text.trim()) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(
      'What the job is to do is no JSON object. Write one such as {"ref": "main"}, or nothing.',
    );
  return value as Payload;
}

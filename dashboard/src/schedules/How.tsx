// How a schedule's jobs are to run: before which others, how long, and beside which.
import type { Schemas } from "../api/read.ts";
import { Field } from "../ui/Field.tsx";

/** As typed. */
export interface HowToRun {
  priority: string;
  timeoutSeconds: string;
  group: string;
}

export function howOf(known?: Schemas["Schedule"]): HowToRun {
  return {
    priority: String(known?.priority ?? 0),
    timeoutSeconds: String(known?.timeoutSeconds ?? 3600),
    group: known?.concurrencyGroup ?? "",
  };
}

/** As the API takes it: no group is null. */
export function howToRun({ priority, timeoutSeconds, group }: HowToRun) {
  return {
    priority: Number(priority),
    timeoutSeconds: Number(timeoutSeconds),
    concurrencyGroup: group.trim() || null,
  };
}

export function HowField({ how, onChange }: { how: HowToRun; onChange(how: HowToRun): void }) {
  const number = { type: "number", required: true, step: 1 };
  return (
    <>
      <div className="grid gap-4 sm:grid-cols-2">
        <Field
          {...number}
          label="Priority"
          hint="Higher ones are claimed first; 0 is ordinary."
          min={-128}
          max={127}
          value={how.priority}
          onChange={(event) => onChange({ ...how, priority: event.target.value })}
        />
        <Field
          {...number}
          label="Time limit"
          hint="How long a job may run, in seconds; at most a week."
          min={1}
          max={604_800}
          value={how.timeoutSeconds}
          onChange={(event) => onChange({ ...how, timeoutSeconds: event.target.value })}
        />
      </div>
      <Field
        label="Concurrency group"
        hint="Of the project's jobs with the same group one runs at a time; empty is no group."
        spellCheck={false}
        value={how.group}
        onChange={(event) => onChange({ ...how, group: event.target.value })}
      />
    </>
  );
}

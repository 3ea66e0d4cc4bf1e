// When a schedule makes its jobs: the expression, the zone whose clock it goes by, and both in words.
import { Button } from "../ui/Button.tsx";
import { Field, SelectField } from "../ui/Field.tsx";
import { EXAMPLES, inWords } from "./cron.ts";

interface Props {
  cron: string;
  timeZone: string;
  onCron(cron: string): void;
  onTimeZone(zone: string): void;
}

export function When({ cron, timeZone, onCron, onTimeZone }: Props) {
  const words = inWords(cron, timeZone);
  return (
    <div className="flex flex-col gap-2">
      <Field
        label="When"
        hint={
          <>
            <span aria-live="polite">{words && <strong className="font-medium">{words}. </strong>}</span>
            Minute, hour, day of the month, month and day of the week.
          </>
        }
        required
        spellCheck={false}
        className="[&_input]:font-mono"
        value={cron}
        onChange={(event) => onCron(event.target.value)}
      />
      <div className="flex flex-wrap gap-1.5">
        {EXAMPLES.map((example) => (
          <Button key={example.cron} className="h-7 text-xs" onClick={() => onCron(example.cron)}>
            {example.text}
          </Button>
        ))}
      </div>
      <SelectField
        label="Time zone"
        value={timeZone}
        options={zones(timeZone).map((zone) => ({ value: zone, text: zone }))}
        onChange={(event) => onTimeZone(event.target.value)}
      />
    </div>
  );
}

/** UTC, the reader's own zone and the chosen one first, then all that the browser knows. */
function zones(chosen: string): string[] {
  const here = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  return [...new Set(["UTC", here, chosen, ...Intl.supportedValuesOf("timeZone")])];
}

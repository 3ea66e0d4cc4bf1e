// A labelled input with a hint, and what the API said against its value.
import clsx from "clsx";
import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from "react";

export const inputClass =
  "h-8 w-full min-w-0 rounded-md border border-line-strong bg-panel px-2.5 text-text placeholder:text-muted disabled:opacity-55";

interface Props extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
  hint?: ReactNode;
}

export function Field({ label, hint, className, ...input }: Props) {
  const id = useId();
  return (
    <div className={clsx("flex flex-col gap-1", className)}>
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      <input id={id} className={inputClass} aria-describedby={hint ? `${id}-hint` : undefined} {...input} />
      {hint && (
        <p id={`${id}-hint`} className="text-xs text-muted">
          {hint}
        </p>
      )}
    </div>
  );
}

interface ChoiceProps extends SelectHTMLAttributes<HTMLSelectElement> {
  label: string;
  options: readonly { value: string; text: string }[];
}

/** One of a few; its label is read out and not shown. */
export function Choice({ label, options, className, ...select }: ChoiceProps) {
  return (
    <select aria-label={label} className={clsx(inputClass, "max-w-36", className)} {...select}>
      {options.map(({ value, text }) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
    </select>
  );
}

/** One of a few, with a label that is shown. */
export function SelectField({ label, options, className, ...select }: ChoiceProps) {
  const id = useId();
  return (
    <div className={clsx("flex flex-col gap-1", className)}>
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      <select id={id} className={inputClass} {...select}>
        {options.map(({ value, text }) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}

// A labelled text of several lines. A secret one shows dots, is kept by no browser, and is read by no spelling service.
import clsx from "clsx";
import { type TextareaHTMLAttributes, useId } from "react";

interface Props extends TextareaHTMLAttributes<HTMLTextAreaElement> {
  label: string;
  hint?: string;
  isSecret?: boolean;
}

export function TextArea({ label, hint, isSecret, className, ...area }: Props) {
  const id = useId();
  return (
    <div className={clsx("flex flex-col gap-1", className)}>
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      <textarea
        id={id}
        className={clsx(
          "w-full min-w-0 rounded-md border border-line-strong bg-panel px-2.5 py-1.5 placeholder:text-muted disabled:opacity-55",
          isSecret && "font-mono [-webkit-text-security:disc]",
        )}
        aria-describedby={hint ? `${id}-hint` : undefined}
        {...(isSecret && { autoComplete: "off", autoCorrect: "off", spellCheck: false })}
        {...area}
      />
      {hint && (
        <p id={`${id}-hint`} className="text-xs text-muted">
          {hint}
        </p>
      )}
    </div>
  );
}

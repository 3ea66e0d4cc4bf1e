// Buttons, and links that look like them. A write's button is `disabled` while the page shows the past: see `useCanWrite`.
import clsx from "clsx";
import type { ButtonHTMLAttributes } from "react";

type Look = "primary" | "plain" | "quiet" | "danger";

const LOOKS: Record<Look, string> = {
  primary: "bg-accent text-on-accent hover:enabled:bg-accent-hover border-transparent",
  plain: "bg-raised text-text border-line-strong hover:enabled:bg-hover",
  quiet: "bg-transparent text-muted border-transparent hover:enabled:bg-hover hover:enabled:text-text",
  danger: "bg-raised text-bad border-line-strong hover:enabled:bg-bad-soft",
};

export function buttonClass(look: Look = "plain", extra?: string, width = "px-3"): string {
  return clsx(
    "inline-flex h-8 shrink-0 items-center justify-center gap-1.5 rounded-md border font-medium whitespace-nowrap",
    "transition-colors disabled:cursor-not-allowed disabled:opacity-55",
    width,
    LOOKS[look],
    extra,
  );
}

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: Look;
  isBusy?: boolean;
}

export function Button({ look, isBusy, className, disabled, children, type = "button", ...rest }: Props) {
  return (
    <button
      type={type}
      className={buttonClass(look, className)}
      disabled={disabled || isBusy}
      aria-busy={isBusy || undefined}
      {...rest}
    >
      {children}
    </button>
  );
}

/** A button that is an icon; its label is read out and shown on hover. */
export function IconButton({
  label,
  className,
  type = "button",
  look = "quiet",
  isBusy,
  ...rest
}: Props & { label: string }) {
  return (
    <button
      type={type}
      aria-label={label}
      aria-busy={isBusy || undefined}
      title={label}
      className={buttonClass(look, className, "w-8")}
      {...rest}
    />
  );
}

// What stands where content would: nothing yet, still loading, or why not.
import { CircleAlert, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError } from "../api/error.ts";
import { Button } from "./Button.tsx";
import { Command, CopyButton } from "./Copy.tsx";

interface EmptyProps {
  icon: LucideIcon;
  title: string;
  children?: ReactNode;
  /** The command that does the next step. */
  command?: string;
  action?: ReactNode;
}

/** There is nothing here, and this is the next step. */
export function Empty({ icon: Icon, title, children, command, action }: EmptyProps) {
  return (
    <div className="mx-auto flex w-full max-w-lg flex-col items-center gap-3 px-4 py-14 text-center">
      <Icon size={28} aria-hidden className="text-muted" />
      <h2 className="text-base font-semibold">{title}</h2>
      {children && <div className="text-muted">{children}</div>}
      {command && (
        <div className="w-full">
          <Command text={command} />
        </div>
      )}
      {action}
    </div>
  );
}

/** What went wrong, with what a person needs to report it. */
export function ErrorNote({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const { code, requestId } = error instanceof ApiError ? error : { code: "unexpected", requestId: null };
  return (
    <div
      role="alert"
      className="m-4 flex flex-wrap items-start gap-3 rounded-lg border border-line bg-bad-soft p-4"
    >
      <CircleAlert size={18} aria-hidden className="mt-0.5 shrink-0 text-bad" />
      <div className="min-w-0 flex-1">
        <p className="font-medium break-words">{error.message}</p>
        <p className="mt-1 flex flex-wrap items-center gap-x-2 text-xs">
          <code className="font-mono">{code}</code>
          {requestId && (
            <span className="inline-flex items-center">
              request <code className="ml-1 font-mono">{requestId}</code>
              <CopyButton text={requestId} label="Copy the request's id" />
            </span>
          )}
        </p>
      </div>
      {onRetry && <Button onClick={onRetry}>Try again</Button>}
    </div>
  );
}

export function Skeleton({ className }: { className?: string }) {
  return <div aria-hidden className={`animate-pulse rounded bg-hover ${className ?? "h-4 w-full"}`} />;
}

/** Lines where rows are about to be. */
export function SkeletonRows({ rows = 8 }: { rows?: number }) {
  return (
    <div role="status" aria-label="Loading" className="flex flex-col">
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all the same
        <div key={row} className="flex h-11 items-center gap-4 border-b border-line px-4">
          <Skeleton className="h-3.5 w-1/4" />
          <Skeleton className="h-3.5 w-1/3" />
          <Skeleton className="ml-auto h-3.5 w-16" />
        </div>
      ))}
    </div>
  );
}

// What pages say about jobs, in one place.
import type { Schemas } from "../api/read.ts";
import { spelled } from "../log/ansi.ts";

export type Job = Schemas["Job"];

export function hasEnded({ state }: Job): boolean {
  return state === "completed" || state === "failed" || state === "cancelled";
}

/** `main` of a build, if it says which. */
export function refOf({ payload }: Job): string | null {
  const ref = (payload as { ref?: unknown } | undefined)?.ref;
  return typeof ref === "string" ? ref : null;
}

/** A commit's subject about a job, without the job: the page is about it. */
export function deed(subject: string): string {
  return spelled(subject.replace(/^job job-\w+: /, ""));
}

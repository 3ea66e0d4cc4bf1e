// A job in a list.
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/read.ts";
import { Badge, JobStateBadge } from "../ui/Badge.tsx";
import { span, Time } from "../ui/Time.tsx";

export const ROW_HEIGHT = 56;

export function JobRow({ job }: { job: Schemas["Job"] }) {
  return (
    <Link
      to="/projects/$id/jobs/$job"
      params={{ id: job.projectId, job: job.jobId }}
      className="flex h-full items-center gap-3 border-b border-line px-4 hover:bg-hover focus-visible:outline-offset-[-2px]"
    >
      <span className="w-24 shrink-0">
        <JobStateBadge state={job.state} />
      </span>
      <span className="min-w-0 flex-1">
        <span className="flex items-center gap-2">
          <span className="font-medium">{job.type}</span>
          {job.labels?.map((label) => (
            <Badge key={label}>{label}</Badge>
          ))}
        </span>
        <span className="block truncate text-xs text-muted" title={job.failure?.message ?? job.jobId}>
          {job.failure?.message ?? job.progress ?? job.jobId}
        </span>
      </span>
      <span className="hidden w-28 truncate text-xs text-muted sm:block">{job.claimedBy}</span>
      <span className="w-24 shrink-0 text-right text-xs text-muted">
        <Time at={job.updatedAt} className="block" />
        {job.startedAt && job.endedAt && span(Date.parse(job.endedAt) - Date.parse(job.startedAt))}
      </span>
    </Link>
  );
}

// One job: how it stands, what was said, what came of it, and what can be done.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { CircleAlert } from "lucide-react";
import { reading, type Schemas } from "../api/read.ts";
import { spelled } from "../log/ansi.ts";
import { LogView } from "../log/LogView.tsx";
import { Badge, JobStateBadge } from "../ui/Badge.tsx";
import { CopyButton } from "../ui/Copy.tsx";
import { Choice } from "../ui/Field.tsx";
import { PageHead } from "../ui/Page.tsx";
import { ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { JobActions } from "./JobActions.tsx";
import { JobFacts } from "./JobFacts.tsx";
import { hasEnded } from "./job.ts";

export default function JobPage() {
  const { job: jobId } = useParams({ from: "/shell/projects/$id/jobs/$job" });
  const job = useQuery(reading("/jobs/{id}", { params: { path: { id: jobId } } }));
  if (job.isPending) return <SkeletonRows />;
  if (job.isError) return <ErrorNote error={job.error} onRetry={() => void job.refetch()} />;
  return <Shown key={jobId} job={job.data} />;
}

function Shown({ job }: { job: Schemas["Job"] }) {
  return (
    <>
      <PageHead title={`${job.type} ${job.jobId.slice(-6)}`} of={job.projectId}>
        <JobActions job={job} />
      </PageHead>
      <div className="flex min-h-0 flex-1 flex-col overflow-y-auto lg:flex-row lg:overflow-hidden">
        <div className="flex min-w-0 shrink-0 flex-col lg:min-h-0 lg:flex-1 lg:shrink">
          <Standing job={job} />
          {job.failure && <Failed project={job.projectId} failure={job.failure} />}
          <div className="flex h-[75dvh] flex-col lg:h-auto lg:min-h-0 lg:flex-1">
            <Log job={job} />
          </div>
        </div>
        <aside
          aria-label="About the job"
          className="shrink-0 border-line border-t bg-panel lg:w-84 lg:overflow-y-auto lg:border-t-0 lg:border-l"
        >
          <JobFacts job={job} />
        </aside>
      </div>
    </>
  );
}

/** Its state, and how far it is, in one line. */
function Standing({ job }: { job: Schemas["Job"] }) {
  const isStopping = job.cancelRequested && !hasEnded(job);
  return (
    <div className="flex min-h-11 flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-4 py-1.5">
      <JobStateBadge state={job.state} />
      {isStopping && <Badge tone="warn">stopping</Badge>}
      {job.labels?.map((label) => (
        <Badge key={label}>{label}</Badge>
      ))}
      <span
        className="min-w-0 flex-1 truncate text-muted"
        title={job.progress ? spelled(job.progress) : undefined}
      >
        {job.progress && spelled(job.progress)}
      </span>
      <span className="flex items-center text-xs text-muted">
        <code className="hidden font-mono sm:inline">{job.jobId}</code>
        <CopyButton text={job.jobId} label="Copy the job's id" />
      </span>
    </div>
  );
}

function Failed({ project, failure }: { project: string; failure: Schemas["Failure"] }) {
  const { jobId } = (failure.details ?? {}) as { jobId?: string };
  return (
    <div className="flex items-start gap-2.5 border-b border-line bg-bad-soft px-4 py-2.5">
      <CircleAlert size={16} aria-hidden className="mt-0.5 shrink-0 text-bad" />
      <p className="min-w-0 flex-1 break-words">
        <span className="font-medium">{spelled(failure.message)}</span>{" "}
        <code className="font-mono text-xs">{failure.code}</code>
        {failure.code === "needFailed" && jobId && (
          <>
            {" "}
            <Link
              to="/projects/$id/jobs/$job"
              params={{ id: project, job: jobId }}
              className="text-accent underline"
            >
              Show the job it needed
            </Link>
          </>
        )}
      </p>
    </div>
  );
}

function Log({ job }: { job: Schemas["Job"] }) {
  const { attempt: asked } = useSearch({ from: "/shell/projects/$id/jobs/$job" });
  const navigate = useNavigate({ from: "/projects/$id/jobs/$job" });
  const attempt = attemptOf(asked, job.attempt);
  const isOver = hasEnded(job) || attempt < job.attempt;
  const show = (value: string) =>
    void navigate({
      search: (now) => ({ ...now, attempt: value === String(job.attempt) ? undefined : value }),
      replace: true,
    });
  return (
    <LogView
      key={attempt}
      job={job.jobId}
      attempt={attempt}
      isOver={isOver}
      isTailFirst={job.state !== "completed" || attempt < job.attempt}
      empty={emptyLog(job, attempt)}
    >
      {job.attempt > 1 && (
        <Choice
          label="Attempt"
          value={String(attempt)}
          options={Array.from({ length: job.attempt }, (_, at) => ({
            value: String(at + 1),
            text: `Attempt ${at + 1}`,
          })).reverse()}
          onChange={(event) => show(event.target.value)}
        />
      )}
    </LogView>
  );
}

function attemptOf(asked: string | undefined, last: number): number {
  const attempt = Number(asked);
  return Number.isInteger(attempt) && attempt >= 1 && attempt <= last ? attempt : last;
}

function emptyLog(job: Schemas["Job"], attempt: number): string {
  if (attempt < job.attempt || hasEnded(job)) return "This attempt has no log";
  if (job.state === "pending") return "The log begins when an agent has taken the job";
  return "Nothing is written yet";
}

// A project at a glance: what is under way, and what happened last.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { GitFork, Inbox } from "lucide-react";
import { lazy, Suspense } from "react";
import { reading, readingPages, type Schemas } from "../api/read.ts";
import { glance } from "../history/things.tsx";
import { JobRow } from "../jobs/JobRow.tsx";
import { Button } from "../ui/Button.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { repoName } from "./repo.ts";

const JobCharts = lazy(() => import("./JobCharts.tsx"));

/** So many jobs under way are shown; the jobs' page has them all. */
const QUEUE_MAX = 10;
const ACTIVITY_PAGE = 30;

export default function OverviewPage() {
  const { id } = useParams({ from: "/shell/projects/$id" });
  const project = useQuery(reading("/projects/{id}", { params: { path: { id } } }));
  if (project.isError) return <ErrorNote error={project.error} onRetry={() => void project.refetch()} />;
  return (
    <>
      <PageHead title={project.data?.title ?? id}>
        {project.data && (
          <span className="text-xs text-muted">
            {repoName(project.data)} · {project.data.defaultBranch}
          </span>
        )}
      </PageHead>
      <div className="grid min-h-0 flex-1 content-start gap-6 overflow-y-auto p-4 lg:grid-cols-2">
        {project.data?.description && <p className="text-muted lg:col-span-2">{project.data.description}</p>}
        {project.data?.forkOf && <ForkNote of={project.data.forkOf} />}
        <Suspense>
          <JobCharts id={id} />
        </Suspense>
        <Queue id={id} />
        <Activity id={id} />
      </div>
    </>
  );
}

/** Of what it is a fork, and whether it works. */
function ForkNote({ of }: { of: Schemas["ForkOf"] }) {
  return (
    <p className="flex flex-wrap items-center gap-x-1.5 text-muted lg:col-span-2">
      <GitFork size={15} aria-hidden />A fork of
      <Link to="/projects/$id" params={{ id: of.project }} className="text-accent hover:underline">
        {of.project}
      </Link>
      at
      <Link
        to="/projects/$id/history/$oid"
        params={{ id: of.project, oid: of.commit }}
        className="font-mono text-accent hover:underline"
      >
        {of.commit.slice(0, 8)}
      </Link>
      {!of.run && "· its jobs are not handed out"}
    </p>
  );
}

function Queue({ id }: { id: string }) {
  const jobs = useQuery(
    reading("/projects/{id}/jobs", { params: { path: { id }, query: { limit: QUEUE_MAX } } }),
  );
  return (
    <section aria-labelledby="queue" className="min-w-0">
      <div className="mb-2 flex items-baseline justify-between">
        <h2 id="queue" className="font-semibold">
          Jobs
        </h2>
        <Link to="/projects/$id/jobs" params={{ id }} className="text-accent hover:underline">
          All jobs
        </Link>
      </div>
      <div className="overflow-hidden rounded-lg border border-line bg-panel">
        {jobs.isPending && <SkeletonRows rows={4} />}
        {jobs.isError && <ErrorNote error={jobs.error} onRetry={() => void jobs.refetch()} />}
        {jobs.data?.jobs.length === 0 && (
          <Empty icon={Inbox} title="No jobs yet" command={`mrx jobs create ${id} --type build --follow`}>
            Queue a build from the command line:
          </Empty>
        )}
        {jobs.data?.jobs.map((job) => (
          <div key={job.jobId} className="h-14 last:*:border-b-0">
            <JobRow job={job} />
          </div>
        ))}
      </div>
    </section>
  );
}

function Activity({ id }: { id: string }) {
  const init = { params: { path: { id }, query: { limit: ACTIVITY_PAGE } } };
  const history = useInfiniteQuery(readingPages("/projects/{id}/history", init));
  const commits = history.data?.flatMap((page) => page.commits) ?? [];
  return (
    <section aria-labelledby="activity" className="min-w-0">
      <div className="mb-2 flex items-baseline justify-between">
        <h2 id="activity" className="font-semibold">
          Activity
        </h2>
        <Link to="/projects/$id/history" params={{ id }} className="text-accent hover:underline">
          All history
        </Link>
      </div>
      <div className="overflow-hidden rounded-lg border border-line bg-panel">
        {history.isPending && <SkeletonRows rows={6} />}
        {history.isError && <ErrorNote error={history.error} onRetry={() => void history.refetch()} />}
        <ol>
          {commits.map((commit) => (
            <CommitLine key={commit.commit} id={id} commit={commit} />
          ))}
        </ol>
        {history.hasNextPage && (
          <div className="p-2 text-center">
            <Button
              look="quiet"
              isBusy={history.isFetchingNextPage}
              onClick={() => void history.fetchNextPage()}
            >
              Older
            </Button>
          </div>
        )}
      </div>
    </section>
  );
}

function CommitLine({ id, commit }: { id: string; commit: Schemas["Event"] }) {
  return (
    <li className="flex items-baseline gap-3 border-b border-line px-4 py-2 last:border-b-0">
      <span className="min-w-0 flex-1">
        <Link
          to="/projects/$id/history/$oid"
          params={{ id, oid: commit.commit }}
          className="block truncate hover:underline"
          title={glance(commit.subject)}
        >
          {glance(commit.subject)}
        </Link>
        <span className="block truncate text-xs text-muted">
          {commit.actor} · <code className="font-mono">{commit.commit.slice(0, 8)}</code>
        </span>
      </span>
      <Time at={commit.time} className="shrink-0 text-xs text-muted" />
    </li>
  );
}

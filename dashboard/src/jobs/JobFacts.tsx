// What is known of a job beside its log: who, when, what it made, and the commits that are its life.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { reading, readingPages, type Schemas } from "../api/read.ts";
import { ArtifactLink } from "../artifacts/ArtifactLink.tsx";
import { Button } from "../ui/Button.tsx";
import { size as bytes } from "../ui/bytes.ts";
import { ErrorNote, Skeleton } from "../ui/States.tsx";
import { span, Time, useNow } from "../ui/Time.tsx";
import { deed, hasEnded, type Job, refOf } from "./job.ts";

/** So many commits of the job's life are shown at first. */
const TIMELINE_PAGE = 30;
/** So many artifacts of a job are listed; the artifacts' page has them all. */
const ARTIFACTS_MAX = 20;

export function JobFacts({ job }: { job: Job }) {
  return (
    <div className="flex flex-col gap-5 p-4">
      <Facts job={job} />
      <Made job={job} />
      <Given title="Result" value={job.result} />
      <Given title="Details of the failure" value={job.failure?.details} />
      <Given title="Payload" value={job.payload} />
      <Timeline job={job} />
    </div>
  );
}

function Facts({ job }: { job: Job }) {
  const now = useNow().getTime();
  const started = job.startedAt ?? job.claimedAt;
  const ended = hasEnded(job) ? job.endedAt : undefined;
  const ran = started && span((ended ? Date.parse(ended) : now) - Date.parse(started));
  const waited = job.claimedAt && job.attempt === 1 && Date.parse(job.claimedAt) - Date.parse(job.createdAt);
  return (
    <dl className="grid grid-cols-[7rem_minmax(0,1fr)] gap-y-1.5">
      <Fact name="Agent">{job.claimedBy}</Fact>
      <Fact name="Attempt">{job.attempt > 1 && job.attempt}</Fact>
      <Fact name="Ref">{refOf(job) && <code className="font-mono text-xs">{refOf(job)}</code>}</Fact>
      <Fact name="Created">
        <Time at={job.createdAt} />
      </Fact>
      <Fact name="Waited">{typeof waited === "number" && span(waited)}</Fact>
      <Fact name={ended ? "Ran for" : "Running for"}>{job.state !== "pending" && ran}</Fact>
      <Fact name="Ended">{ended && <Time at={ended} />}</Fact>
      <Fact name="May run for">{span(job.timeoutSeconds * 1000)}</Fact>
      <Fact name="Priority">{job.priority}</Fact>
      <Fact name="Group">{job.concurrencyGroup}</Fact>
      <Fact name="Schedule">{job.schedule}</Fact>
      <Fact name="Log">{job.log && bytes(job.log.size)}</Fact>
      <Fact name="Needs">
        {job.needs?.map((need) => (
          <Link
            key={need}
            to="/projects/$id/jobs/$job"
            params={{ id: job.projectId, job: need }}
            className="block truncate font-mono text-xs text-accent hover:underline"
          >
            {need.slice(-10)}
          </Link>
        ))}
      </Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  if (!children) return null;
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="min-w-0">
      <h2 className="mb-1.5 font-semibold">{title}</h2>
      {children}
    </section>
  );
}

/** The artifacts that the job's result names. */
function Made({ job }: { job: Job }) {
  const { artifacts } = (job.result ?? {}) as { artifacts?: unknown };
  const ids = Array.isArray(artifacts) ? artifacts.filter((id) => typeof id === "string") : [];
  if (ids.length === 0) return null;
  return (
    <Part title="Artifacts">
      <ul className="flex flex-col gap-1">
        {ids.slice(0, ARTIFACTS_MAX).map((id) => (
          <li key={id}>
            <MadeArtifact project={job.projectId} id={id} />
          </li>
        ))}
      </ul>
      {ids.length > ARTIFACTS_MAX && (
        <Link
          to="/projects/$id/artifacts"
          params={{ id: job.projectId }}
          className="text-accent hover:underline"
        >
          All artifacts
        </Link>
      )}
    </Part>
  );
}

function MadeArtifact({ project, id }: { project: string; id: string }) {
  const path = { id: project, artifactId: id };
  const { data, isPending } = useQuery(
    reading("/projects/{id}/artifacts/{artifactId}", { params: { path } }),
  );
  if (isPending) return <Skeleton />;
  if (!data) return <span className="text-muted">{id.slice(-8)} is no longer kept</span>;
  return <ArtifactLink project={project} artifact={data} />;
}

function Given({ title, value }: { title: string; value: object | null | undefined }) {
  if (!value || Object.keys(value).length === 0) return null;
  return (
    <details>
      <summary className="font-semibold">{title}</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what is long is scrolled by keyboard */}
      <pre className="mt-1.5 max-h-80 overflow-auto rounded-md bg-code p-2.5 font-mono text-xs" tabIndex={0}>
        {JSON.stringify(value, null, 2)}
      </pre>
    </details>
  );
}

function Timeline({ job }: { job: Job }) {
  const init = {
    params: { path: { id: job.projectId }, query: { about: job.jobId, limit: TIMELINE_PAGE } },
  };
  const history = useInfiniteQuery(readingPages("/projects/{id}/history", init));
  const commits = history.data?.flatMap((page) => page.commits) ?? [];
  return (
    <Part title="Timeline">
      {history.isPending && <Skeleton className="h-24 w-full" />}
      {history.isError && <ErrorNote error={history.error} onRetry={() => void history.refetch()} />}
      <ol className="relative flex flex-col gap-2.5 before:absolute before:inset-y-2 before:left-[3px] before:w-px before:bg-line-strong">
        {commits.map((commit) => (
          <Step key={commit.commit} commit={commit} />
        ))}
      </ol>
      {history.hasNextPage && (
        <Button look="quiet" onClick={() => void history.fetchNextPage()}>
          Older
        </Button>
      )}
    </Part>
  );
}

function Step({ commit }: { commit: Schemas["Event"] }) {
  return (
    <li className="relative pl-5">
      <span aria-hidden className="absolute top-1.5 left-0 size-[7px] rounded-full bg-line-strong" />
      <span className="block break-words">{deed(commit.subject)}</span>
      <span className="block text-xs text-muted">
        {commit.actor} · <Time at={commit.time} /> ·{" "}
        <code className="font-mono">{commit.commit.slice(0, 8)}</code>
      </span>
    </li>
  );
}

// A project in the list: its name, what it is about, its last build and how much is under way.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { reading, type Schemas } from "../api/read.ts";
import { Badge, JobStateBadge } from "../ui/Badge.tsx";
import { Skeleton } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { repoName } from "./repo.ts";

export const ROW_HEIGHT = 56;
/** More open jobs than these are shown as "20+". */
const COUNTED_MAX = 20;

export function ProjectRow({ project }: { project: Schemas["Project"] }) {
  const id = project.projectId;
  return (
    <Link
      to="/projects/$id"
      params={{ id }}
      className="flex h-full items-center gap-4 border-b border-line px-4 hover:bg-hover focus-visible:outline-offset-[-2px]"
    >
      <span className="min-w-0 flex-1">
        <span className="flex items-center gap-2">
          <span className="truncate font-medium">{project.title ?? id}</span>
          {project.state === "missing" && <Badge tone="warn">missing at the forge</Badge>}
          {project.archived && <Badge>archived</Badge>}
        </span>
        <span className="block truncate text-xs text-muted">{project.description ?? repoName(project)}</span>
      </span>
      <OpenJobs id={id} />
      <LastBuild id={id} />
    </Link>
  );
}

function OpenJobs({ id }: { id: string }) {
  const query = { limit: COUNTED_MAX };
  const { data } = useQuery(reading("/projects/{id}/jobs", { params: { path: { id }, query } }));
  const open = data?.jobs.filter((job) => !job.endedAt || job.state === "pending").length ?? 0;
  if (open === 0) return null;
  return (
    <span className="hidden text-xs text-muted sm:block">
      {open >= COUNTED_MAX ? `${COUNTED_MAX}+` : open} open
    </span>
  );
}

function LastBuild({ id }: { id: string }) {
  const query = { type: "build", limit: 1 } as const;
  const { data, isPending } = useQuery(reading("/projects/{id}/jobs", { params: { path: { id }, query } }));
  if (isPending) return <Skeleton className="h-4 w-32" />;
  const build = data?.jobs[0];
  if (!build) return <span className="w-40 text-right text-xs text-muted">never built</span>;
  return (
    <span className="flex w-40 items-center justify-end gap-2">
      <Time at={build.updatedAt} className="text-xs text-muted" />
      <JobStateBadge state={build.state} />
    </span>
  );
}

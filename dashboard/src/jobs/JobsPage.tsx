// The jobs of a project: filters that stand in the address, and a list of any length.
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Inbox, Plus, RefreshCw } from "lucide-react";
import { useCallback, useState } from "react";
import { readingPages, type Schemas } from "../api/read.ts";
import { Button } from "../ui/Button.tsx";
import { Choice, inputClass } from "../ui/Field.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { VirtualList } from "../ui/VirtualList.tsx";
import { useMayWrite } from "./JobActions.tsx";
import { JobRow, ROW_HEIGHT } from "./JobRow.tsx";
import { NewJob } from "./NewJob.tsx";

const STATES = [
  "pending",
  "claimed",
  "running",
  "completed",
  "failed",
  "cancelled",
] as const satisfies Schemas["JobState"][];
const TYPES = ["chat", "patch", "build", "index-rebuild"] as const satisfies Schemas["JobType"][];
const PAGE = 200;

const choices = (all: string, values: readonly string[]) => [
  { value: "", text: all },
  ...values.map((value) => ({ value, text: value })),
];

export default function JobsPage() {
  const { id } = useParams({ from: "/shell/projects/$id/jobs" });
  const { state, type, label, agent } = useSearch({ from: "/shell/projects/$id/jobs" });
  const navigate = useNavigate({ from: "/projects/$id/jobs" });
  const set = (name: "state" | "type" | "label" | "agent", value: string) =>
    void navigate({ search: (now) => ({ ...now, [name]: value || undefined }), replace: true });
  const [isMaking, setIsMaking] = useState(false);
  const mayWrite = useMayWrite(id);
  return (
    <>
      <PageHead title="Jobs" of={id}>
        <Choice
          label="State"
          value={state ?? ""}
          options={choices("Any state", STATES)}
          onChange={(event) => set("state", event.target.value)}
        />
        <Choice
          label="Type"
          value={type ?? ""}
          options={choices("Any type", TYPES)}
          onChange={(event) => set("type", event.target.value)}
        />
        <Typed
          key={`label ${label ?? ""}`}
          isSearch
          name="Label"
          value={label}
          onChange={(value) => set("label", value)}
        />
        <Typed
          key={`agent ${agent ?? ""}`}
          name="Agent"
          value={agent}
          onChange={(value) => set("agent", value)}
        />
        <Button look="primary" disabled={!mayWrite} onClick={() => setIsMaking(true)}>
          <Plus size={15} aria-hidden />
          New job
        </Button>
      </PageHead>
      <JobList
        id={id}
        filter={{ state, type, label, agent } as Filter}
        isFiltered={Boolean(state || type || label || agent)}
      />
      <NewJob id={id} isOpen={isMaking} onClose={() => setIsMaking(false)} />
    </>
  );
}

/** A filter that is typed whole before it counts. */
function Typed({ name, value, isSearch, onChange }: TypedProps) {
  return (
    <input
      data-search={isSearch || undefined}
      aria-label={name}
      placeholder={name}
      className={`${inputClass} max-w-32`}
      defaultValue={value}
      onBlur={(event) => event.target.value.trim() !== (value ?? "") && onChange(event.target.value.trim())}
      onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()}
    />
  );
}

interface TypedProps {
  name: string;
  value: string | undefined;
  isSearch?: boolean;
  onChange(value: string): void;
}

interface Filter {
  state?: Schemas["JobState"];
  type?: Schemas["JobType"];
  label?: string;
  agent?: string;
}

function JobList({ id, filter, isFiltered }: { id: string; filter: Filter; isFiltered: boolean }) {
  const options = readingPages("/projects/{id}/jobs", {
    params: { path: { id }, query: { ...filter, limit: PAGE } },
  });
  const jobs = useInfiniteQuery(options);
  const queries = useQueryClient();
  const { fetchNextPage, hasNextPage } = jobs;
  const more = useCallback(() => void fetchNextPage({ cancelRefetch: false }), [fetchNextPage]);
  if (jobs.isPending) return <SkeletonRows />;
  if (jobs.isError) return <ErrorNote error={jobs.error} onRetry={() => void jobs.refetch()} />;
  const all = jobs.data.flatMap((page) => page.jobs);
  if (all.length === 0 && !hasNextPage) {
    return isFiltered ? (
      <Empty icon={Inbox} title="No job is like that" />
    ) : (
      <Empty icon={Inbox} title="No jobs yet" command={`mrx jobs create ${id} --type build --follow`}>
        Queue a build from the command line:
      </Empty>
    );
  }
  const isOld = queries.getQueryState(options.queryKey)?.isInvalidated && !jobs.isFetching;
  return (
    <>
      {isOld && (
        <Button
          look="quiet"
          className="rounded-none"
          onClick={() => void queries.resetQueries({ queryKey: options.queryKey })}
        >
          <RefreshCw size={14} aria-hidden />
          Something has changed: show the newest
        </Button>
      )}
      <VirtualList
        label="Jobs"
        items={all}
        keyOf={(job) => job.jobId}
        rowHeight={ROW_HEIGHT}
        onEnd={hasNextPage ? more : undefined}
      >
        {(job) => <JobRow job={job} />}
      </VirtualList>
    </>
  );
}

// How the daemon is: its journal, queue, claims, memory and disk, now and since the page is open. For admins.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import clsx from "clsx";
import { type ReactNode, useMemo } from "react";
import { reading, readingPages, type Schemas } from "../api/read.ts";
import { bytes, count, millis } from "../ui/amounts.ts";
import { Badge } from "../ui/Badge.tsx";
import { Button } from "../ui/Button.tsx";
import { Chart } from "../ui/Chart.tsx";
import type { Series } from "../ui/chart/Drawn.tsx";
import { PageHead } from "../ui/Page.tsx";
import { ErrorNote, Skeleton, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { type Sample, useSamples } from "./samples.ts";

type State = Schemas["DebugState"];
/** More packs than these in a repository mean that upkeep does not follow. */
const PACKS_MANY = 40;
/** Less room than this share of the disk is worth a warning. */
const DISK_LOW = 0.1;

export default function HealthPage() {
  const { state, samples } = useSamples();
  const health = useQuery(reading("/health"));
  return (
    <>
      <PageHead title="Health">
        {health.data && <span className="text-xs text-muted">MrX {health.data.version}</span>}
      </PageHead>
      <div className="min-h-0 flex-1 overflow-y-auto">
        {state.isError && <ErrorNote error={state.error} onRetry={() => void state.refetch()} />}
        <div className="flex flex-col gap-4 p-4">
          {state.data ? (
            <Figures state={state.data} forge={health.data?.forge} />
          ) : (
            <Skeleton className="h-24 w-full" />
          )}
          <Charts samples={samples} />
          <Repositories />
        </div>
      </div>
    </>
  );
}

function Figures({ state, forge }: { state: State; forge: Schemas["ForgeStatus"] | undefined }) {
  const free = state.diskBytes > 0 ? state.diskBytesFree / state.diskBytes : 1;
  const most = state.mostPacks[0];
  return (
    <dl className="grid grid-cols-2 gap-3 sm:grid-cols-3 xl:grid-cols-6">
      <Figure name="Journal lag" value={count(state.journalRecords)} isBad={state.journalRecords > 10_000}>
        changes not yet in git; the journal has {bytes(state.journalBytes)}
      </Figure>
      <Figure name="Queue" value={count(state.jobsPending)}>
        {state.jobsHeld} held, {state.claimsWaiting}{" "}
        {state.claimsWaiting === 1 ? "agent waits" : "agents wait"}
      </Figure>
      <Figure name="Claim, 99 of 100" value={state.claimsMeasured ? millis(state.claimP99Ms) : "–"}>
        {state.claimsMeasured
          ? `median ${millis(state.claimMedianMs)} of the last ${count(state.claimsMeasured)}`
          : "no claim since the start"}
      </Figure>
      <Figure name="Memory" value={bytes(state.residentMebibytes * 2 ** 20)}>
        {state.repositoriesOpen} of {state.projects + 1} repositories open
      </Figure>
      <Figure name="Disk free" value={bytes(state.diskBytesFree)} isBad={free < DISK_LOW}>
        {Math.round(free * 100)} % of {bytes(state.diskBytes)}
      </Figure>
      <Figure name="Most packs" value={count(most?.packs ?? 0)} isBad={(most?.packs ?? 0) > PACKS_MANY}>
        {most ? most.repository : "nothing was written yet"}
      </Figure>
      {forge?.problem && (
        <Figure name="Forge" value={forge.problem} isBad>
          {forge.waitingUntil ? (
            <>
              waits until <Time at={forge.waitingUntil} />
            </>
          ) : (
            "the last look at it failed"
          )}
        </Figure>
      )}
    </dl>
  );
}

interface FigureProps {
  name: string;
  value: string;
  isBad?: boolean;
  children: ReactNode;
}

function Figure({ name, value, isBad, children }: FigureProps) {
  return (
    <div className="min-w-0 rounded-lg border border-line bg-panel px-4 py-3">
      <dt className="text-xs text-muted">{name}</dt>
      <dd className={clsx("mt-0.5 text-xl font-semibold", isBad && "text-bad")}>{value}</dd>
      <dd className="mt-0.5 text-xs break-words text-muted">{children}</dd>
    </div>
  );
}

function Charts({ samples }: { samples: readonly Sample[] }) {
  const times = useMemo(() => samples.map(({ time }) => time), [samples]);
  const line = (name: string, colour: Series["colour"], of: (state: State) => number | null): Series => ({
    name,
    colour,
    values: samples.map(({ state }) => of(state)),
  });
  return (
    <div className="grid gap-3 lg:grid-cols-2">
      <Panel title="Journal lag">
        <Chart
          label="Journal lag"
          times={times}
          say={count}
          series={[line("changes not yet in git", "accent", (state) => state.journalRecords)]}
        />
      </Panel>
      <Panel title="Jobs">
        <Chart
          label="Jobs"
          times={times}
          say={count}
          series={[
            line("waiting", "warn", (state) => state.jobsPending),
            line("held", "busy", (state) => state.jobsHeld),
            line("agents that wait", "good", (state) => state.claimsWaiting),
          ]}
        />
      </Panel>
      <Panel title="Claims">
        <Chart
          label="Claims"
          times={times}
          say={millis}
          series={[
            line("99 of 100", "accent", (state) => (state.claimsMeasured ? state.claimP99Ms : null)),
            line("median", "good", (state) => (state.claimsMeasured ? state.claimMedianMs : null)),
          ]}
        />
      </Panel>
      <Panel title="Memory">
        <Chart
          label="Memory"
          times={times}
          say={(mebibytes) => bytes(mebibytes * 2 ** 20)}
          series={[line("resident", "accent", (state) => state.residentMebibytes)]}
        />
      </Panel>
    </div>
  );
}

function Panel({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="min-w-0 rounded-lg border border-line bg-panel px-4 py-3">
      <h2 className="mb-2 font-medium">{title}</h2>
      {children}
    </section>
  );
}

const PAGE = 100;

function Repositories() {
  const init = { params: { query: { limit: PAGE } } };
  const projects = useInfiniteQuery(readingPages("/admin/debug/projects", init));
  if (projects.isPending) return <SkeletonRows rows={4} />;
  if (projects.isError) return <ErrorNote error={projects.error} onRetry={() => void projects.refetch()} />;
  const all = projects.data.flatMap((page) => page.projects);
  return (
    <section aria-labelledby="repositories" className="min-w-0">
      <h2 id="repositories" className="mb-2 font-semibold">
        Projects
      </h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled by keyboard */}
      <div className="overflow-x-auto rounded-lg border border-line bg-panel" tabIndex={0}>
        <table className="w-full min-w-xl text-left">
          <thead className="text-xs text-muted">
            <tr className="border-b border-line *:px-4 *:py-2 *:font-medium">
              <th>Project</th>
              <th>State</th>
              <th className="text-right">Open jobs</th>
              <th className="text-right">Packs</th>
              <th className="text-right">On disk</th>
              <th>Last commit</th>
            </tr>
          </thead>
          <tbody>
            {all.map((project) => (
              <tr key={project.projectId} className="border-b border-line *:px-4 *:py-2 last:border-b-0">
                <td>
                  <Link
                    to="/projects/$id"
                    params={{ id: project.projectId }}
                    className="text-accent hover:underline"
                  >
                    {project.projectId}
                  </Link>
                </td>
                <td>
                  {project.isTrashed ? (
                    <Badge tone="warn">in the trash</Badge>
                  ) : (
                    <Badge tone={project.isOpen ? "good" : "calm"}>
                      {project.isOpen ? "in memory" : "at rest"}
                    </Badge>
                  )}
                </td>
                <td className="text-right">{count(project.openJobs)}</td>
                <td className="text-right">{project.packs ?? "–"}</td>
                <td className="text-right whitespace-nowrap">{bytes(project.bytes)}</td>
                <td>
                  <code className="font-mono text-xs text-muted">
                    {project.lastCommit?.slice(0, 8) ?? "–"}
                  </code>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {projects.hasNextPage && (
        <div className="p-2 text-center">
          <Button
            look="quiet"
            isBusy={projects.isFetchingNextPage}
            onClick={() => void projects.fetchNextPage()}
          >
            More
          </Button>
        </div>
      )}
    </section>
  );
}

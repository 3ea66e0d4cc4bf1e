// How a project's builds went lately: how many completed and failed each day, and how long they took.
import { useQuery } from "@tanstack/react-query";
import { reading, type Schemas } from "../api/read.ts";
import { count } from "../ui/amounts.ts";
import { Chart } from "../ui/Chart.tsx";
import { span } from "../ui/Time.tsx";

type Job = Schemas["Job"];
/** So many of the last builds are looked at: one page of the API. */
const LOOKED_AT = 200;
const DAYS = 14;
const DAY_MS = 86_400_000;

export default function JobCharts({ id }: { id: string }) {
  const query = { type: "build", limit: LOOKED_AT } as const;
  const jobs = useQuery(reading("/projects/{id}/jobs", { params: { path: { id }, query } }));
  const ended = (jobs.data?.jobs ?? []).filter((job) => job.endedAt && job.startedAt);
  if (ended.length === 0) return null;
  const days = lastDays();
  const of = (state: Job["state"]) => days.map((day) => ended.filter((job) => isOn(job, day, state)).length);
  const timed = ended.filter((job) => job.state === "completed" || job.state === "failed").reverse();
  const took = (state: Job["state"]) => timed.map((job) => (job.state === state ? milliseconds(job) : null));
  const good = ended.filter((job) => job.state === "completed").length;
  const bad = ended.filter((job) => job.state === "failed").length;
  return (
    <section aria-labelledby="builds" className="lg:col-span-2">
      <div className="mb-2 flex items-baseline gap-3">
        <h2 id="builds" className="font-semibold">
          Builds
        </h2>
        {good + bad > 0 && (
          <span className="text-xs text-muted">
            {Math.round((100 * good) / (good + bad))} % of the last {good + bad} completed
          </span>
        )}
      </div>
      <div className="grid gap-3 lg:grid-cols-2">
        <div className="min-w-0 rounded-lg border border-line bg-panel px-4 py-3">
          <h3 className="mb-2 text-xs text-muted">A day</h3>
          <Chart
            label="Builds a day"
            as="bars"
            times={days.map((day) => day / 1000)}
            say={count}
            series={[
              { name: "completed", colour: "good", values: of("completed") },
              { name: "failed", colour: "bad", values: of("failed") },
            ]}
          />
        </div>
        <div className="min-w-0 rounded-lg border border-line bg-panel px-4 py-3">
          <h3 className="mb-2 text-xs text-muted">How long each took</h3>
          <Chart
            label="How long builds took"
            as="points"
            times={timed.map((job) => Date.parse(job.endedAt ?? "") / 1000)}
            say={span}
            series={[
              { name: "completed", colour: "good", values: took("completed") },
              { name: "failed", colour: "bad", values: took("failed") },
            ]}
          />
        </div>
      </div>
    </section>
  );
}

function milliseconds(job: Job): number {
  return Date.parse(job.endedAt ?? "") - Date.parse(job.startedAt ?? "");
}

/** The beginnings of the last days in the reader's zone, the oldest first. */
function lastDays(): number[] {
  const today = new Date().setHours(0, 0, 0, 0);
  return Array.from({ length: DAYS }, (_, index) =>
    new Date(today - (DAYS - 1 - index) * DAY_MS + DAY_MS / 2).setHours(0, 0, 0, 0),
  );
}

function isOn(job: Job, day: number, state: Job["state"]): boolean {
  const ended = Date.parse(job.endedAt ?? "");
  return job.state === state && new Date(ended).setHours(0, 0, 0, 0) === day;
}

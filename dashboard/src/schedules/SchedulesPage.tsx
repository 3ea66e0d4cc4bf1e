// The schedules of a project: what job each makes, when next, and whether it does.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { CalendarClock, Pause, Pencil, Play, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import { reading, type Schemas } from "../api/read.ts";
import { useMay } from "../session/manage.ts";
import { Badge } from "../ui/Badge.tsx";
import { Button, IconButton } from "../ui/Button.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { exactly, Time } from "../ui/Time.tsx";
import { useFailed, useToast } from "../ui/Toast.tsx";
import { inWords } from "./cron.ts";
import { ScheduleForm } from "./ScheduleForm.tsx";

type Schedule = Schemas["Schedule"];
type Open = { what: "new" } | { what: "edit" | "remove"; schedule: Schedule };

export default function SchedulesPage() {
  const { id } = useParams({ from: "/shell/projects/$id/schedules" });
  const schedules = useQuery(reading("/projects/{id}/schedules", { params: { path: { id } } }));
  const [open, setOpen] = useState<Open | null>(null);
  const mayWrite = useMay("write", id);
  const close = () => setOpen(null);
  const all = schedules.data?.schedules ?? [];
  return (
    <>
      <PageHead title="Schedules" of={id}>
        <Button look="primary" disabled={!mayWrite} onClick={() => setOpen({ what: "new" })}>
          <Plus size={15} aria-hidden />
          New schedule
        </Button>
      </PageHead>
      <div className="min-h-0 flex-1 overflow-y-auto">
        {schedules.isPending && <SkeletonRows />}
        {schedules.isError && <ErrorNote error={schedules.error} onRetry={() => void schedules.refetch()} />}
        {schedules.data && all.length === 0 && (
          <Empty icon={CalendarClock} title="No schedules yet" command={command(id)}>
            A schedule makes a job by the clock: a build each night, an index each hour. Make one here, or
            with
          </Empty>
        )}
        <ul>
          {all.map((schedule) => (
            <Row
              key={schedule.name}
              project={id}
              schedule={schedule}
              mayWrite={mayWrite}
              onDo={(what) => setOpen({ what, schedule })}
            />
          ))}
        </ul>
      </div>
      {open?.what === "new" && <ScheduleForm project={id} onClose={close} />}
      {open?.what === "edit" && <ScheduleForm project={id} known={open.schedule} onClose={close} />}
      {open?.what === "remove" && <Remove project={id} name={open.schedule.name} onClose={close} />}
    </>
  );
}

function command(id: string): string {
  const body = '{"name": "nightly", "cron": "0 3 * * *", "jobType": "build"}';
  const headers = `-H "Authorization: Bearer $MRX_TOKEN" -H 'Content-Type: application/json'`;
  return `curl ${headers} -d '${body}' ${location.origin}/projects/${id}/schedules`;
}

interface RowProps {
  project: string;
  schedule: Schedule;
  mayWrite: boolean;
  onDo(what: "edit" | "remove"): void;
}

function Row({ project, schedule, mayWrite, onDo }: RowProps) {
  return (
    <li
      aria-label={schedule.name}
      className="flex flex-wrap items-center gap-x-4 gap-y-2 border-b border-line bg-panel px-4 py-3"
    >
      <div className="min-w-0 flex-1 basis-52">
        <h2 className="flex items-center gap-2 font-medium">
          {schedule.name}
          <Badge>{schedule.jobType}</Badge>
          {!schedule.enabled && <Badge tone="warn">off</Badge>}
        </h2>
        <p className="text-xs text-muted">
          {inWords(schedule.cron, schedule.timeZone) ?? `By the expression, ${schedule.timeZone ?? "UTC"}`} ·{" "}
          <code className="font-mono">{schedule.cron}</code>
        </p>
      </div>
      <dl className="flex basis-72 flex-col gap-0.5 text-xs">
        <div className="flex gap-2">
          <dt className="w-8 text-muted">Next</dt>
          <dd>
            {schedule.enabled && schedule.nextRunAt ? exactly(schedule.nextRunAt) : "not while it is off"}
          </dd>
        </div>
        <div className="flex gap-2">
          <dt className="w-8 text-muted">Last</dt>
          <dd>
            {schedule.lastRunAt && schedule.lastJob ? (
              <Link
                to="/projects/$id/jobs/$job"
                params={{ id: project, job: schedule.lastJob }}
                className="text-accent hover:underline"
              >
                <Time at={schedule.lastRunAt} />
              </Link>
            ) : (
              "never"
            )}
          </dd>
        </div>
      </dl>
      <span className="flex">
        <Toggle project={project} schedule={schedule} mayWrite={mayWrite} />
        <IconButton label={`Change ${schedule.name}`} disabled={!mayWrite} onClick={() => onDo("edit")}>
          <Pencil size={15} aria-hidden />
        </IconButton>
        <IconButton label={`Remove ${schedule.name}`} disabled={!mayWrite} onClick={() => onDo("remove")}>
          <Trash2 size={15} aria-hidden />
        </IconButton>
      </span>
    </li>
  );
}

function Toggle({ project, schedule, mayWrite }: Omit<RowProps, "onDo">) {
  const queries = useQueryClient();
  const failed = useFailed();
  const params = { path: { id: project, name: schedule.name } };
  const toggle = useMutation({
    mutationFn: () =>
      client.PATCH("/projects/{id}/schedules/{name}", { params, body: { enabled: !schedule.enabled } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["/projects/{id}/schedules"] }),
    onError: failed,
  });
  return (
    <IconButton
      label={schedule.enabled ? `Turn ${schedule.name} off` : `Turn ${schedule.name} on`}
      disabled={!mayWrite || toggle.isPending}
      onClick={() => toggle.mutate()}
    >
      {schedule.enabled ? <Pause size={15} aria-hidden /> : <Play size={15} aria-hidden />}
    </IconButton>
  );
}

function Remove({ project, name, onClose }: { project: string; name: string; onClose(): void }) {
  const queries = useQueryClient();
  const toast = useToast();
  const failed = useFailed();
  const remove = useMutation({
    mutationFn: () =>
      client.DELETE("/projects/{id}/schedules/{name}", { params: { path: { id: project, name } } }),
    onSuccess() {
      void queries.invalidateQueries({ queryKey: ["/projects/{id}/schedules"] });
      toast({ tone: "good", text: `${name} is removed.` });
      onClose();
    },
    onError: failed,
  });
  return (
    <Confirm
      title={`Remove ${name}?`}
      deed="Remove it"
      isOpen
      isBusy={remove.isPending}
      onClose={onClose}
      onConfirm={() => remove.mutate()}
    >
      It makes no more jobs. Those that it made stay, and the history has it: it can be put back from there.
    </Confirm>
  );
}

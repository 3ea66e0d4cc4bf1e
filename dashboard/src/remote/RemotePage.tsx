// A project's remote: where its state is pushed to, how far that is, and what is wrong.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { CircleAlert, CloudUpload, Pencil, RefreshCw, Unlink } from "lucide-react";
import { type ReactNode, useState } from "react";
import { client } from "../api/client.ts";
import { ApiError } from "../api/error.ts";
import { reading, type Schemas } from "../api/read.ts";
import { useLookAfter } from "../live/after.ts";
import { useMay } from "../session/manage.ts";
import { Badge } from "../ui/Badge.tsx";
import { Button } from "../ui/Button.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { useFailed, useToast } from "../ui/Toast.tsx";
import { RemoteForm } from "./RemoteForm.tsx";

const PATH = "/projects/{id}/remote";
/** A push is no commit: it follows one, at most every ten seconds. */
const LOOK_AFTER_MS = [2000, 12_000];

export default function RemotePage() {
  const { id } = useParams({ from: "/shell/projects/$id/remote" });
  const [open, setOpen] = useState<"edit" | "remove" | null>(null);
  const status = useQuery(reading(PATH, { params: { path: { id } } }));
  const mayManage = useMay("admin", id);
  const mayWrite = useMay("write", id);
  useLookAfter(id, LOOK_AFTER_MS, status.refetch);
  const hasNone = status.error instanceof ApiError && status.error.code === "noRemote";
  const remote = hasNone ? undefined : status.data;
  const close = () => setOpen(null);
  return (
    <>
      <PageHead title="Remote" of={id}>
        {remote && (
          <>
            <Sync id={id} mayWrite={mayWrite} />
            <Button disabled={!mayManage} onClick={() => setOpen("edit")}>
              <Pencil size={15} aria-hidden />
              Change
            </Button>
            <Button look="danger" disabled={!mayManage} onClick={() => setOpen("remove")}>
              <Unlink size={15} aria-hidden />
              End it
            </Button>
          </>
        )}
      </PageHead>
      <div className="min-h-0 flex-1 overflow-y-auto">
        {status.isPending && <SkeletonRows rows={4} />}
        {status.isError && !hasNone && (
          <ErrorNote error={status.error} onRetry={() => void status.refetch()} />
        )}
        {hasNone && (
          <Empty
            icon={CloudUpload}
            title="The state is here alone"
            command={command(id)}
            action={
              <Button look="primary" disabled={!mayManage} onClick={() => setOpen("edit")}>
                Set a remote
              </Button>
            }
          >
            A remote is a branch of another repository that the state is pushed to, and whose changes come
            back. Set one here, or with
          </Empty>
        )}
        {remote && <Status id={id} remote={remote} />}
      </div>
      {open === "edit" && <RemoteForm project={id} known={remote} onClose={close} />}
      {open === "remove" && <End id={id} onClose={close} />}
    </>
  );
}

function command(id: string): string {
  const body = '{"remote": {"url": "https://github.com/acme/weather-state.git"}}';
  const headers = `-H "Authorization: Bearer $MRX_TOKEN" -H 'Content-Type: application/json'`;
  return `curl -X PATCH ${headers} -d '${body}' ${location.origin}/projects/${id}`;
}

function Sync({ id, mayWrite }: { id: string; mayWrite: boolean }) {
  const queries = useQueryClient();
  const failed = useFailed();
  const toast = useToast();
  const sync = useMutation({
    mutationFn: () => client.POST("/projects/{id}/remote/sync", { params: { path: { id } } }),
    onSuccess: ({ response }) =>
      toast({
        tone: "good",
        text: response.status === 202 ? "It goes on still." : "The remote has the state.",
      }),
    onError: failed,
    onSettled: () => queries.invalidateQueries({ queryKey: [PATH] }),
  });
  return (
    <Button disabled={!mayWrite} isBusy={sync.isPending} onClick={() => sync.mutate()}>
      <RefreshCw size={15} aria-hidden />
      Sync now
    </Button>
  );
}

function Status({ id, remote }: { id: string; remote: Schemas["RemoteStatus"] }) {
  return (
    <div className="mx-auto flex max-w-4xl flex-col gap-4 p-4">
      {remote.problem && (
        <div role="alert" className="flex items-start gap-3 rounded-lg border border-line bg-bad-soft p-4">
          <CircleAlert size={18} aria-hidden className="mt-0.5 shrink-0 text-bad" />
          <div className="min-w-0">
            <p className="font-medium break-words">{remote.problem.message}</p>
            <p className="mt-1 text-xs">
              <code className="font-mono">{remote.problem.code}</code>, since{" "}
              <Time at={remote.problem.since} />
            </p>
          </div>
        </div>
      )}
      <dl className="grid gap-x-4 gap-y-2 rounded-lg border border-line bg-panel px-4 py-3 sm:grid-cols-[8rem_1fr]">
        <Row name="Repository">
          <span className="break-all">{remote.url}</span>
        </Row>
        <Row name="Branch">
          <code className="font-mono text-xs">{remote.branch}</code>
        </Row>
        <Row name="It has">
          {remote.pushed ? (
            <span className="flex flex-wrap items-center gap-2">
              <Link
                to="/projects/$id/history/$oid"
                params={{ id, oid: remote.pushed }}
                className="font-mono text-xs text-accent hover:underline"
              >
                {remote.pushed.slice(0, 12)}
              </Link>
              {remote.pushedAt && <Time at={remote.pushedAt} className="text-muted" />}
            </span>
          ) : (
            <span className="text-muted">nothing was pushed since the daemon started</span>
          )}
        </Row>
        <Row name="It is">
          {remote.isBehind ? <Badge tone="warn">behind</Badge> : <Badge tone="good">up to date</Badge>}
        </Row>
        <Row name="Brought in">
          {remote.mergedAt ? (
            <Time at={remote.mergedAt} />
          ) : (
            <span className="text-muted">no change of its own yet</span>
          )}
        </Row>
      </dl>
    </div>
  );
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0">{children}</dd>
    </>
  );
}

function End({ id, onClose }: { id: string; onClose(): void }) {
  const queries = useQueryClient();
  const failed = useFailed();
  const end = useMutation({
    mutationFn: () => client.PATCH("/projects/{id}", { params: { path: { id } }, body: { remote: null } }),
    onSuccess() {
      void queries.invalidateQueries({ queryKey: [PATH] });
      onClose();
    },
    onError: failed,
  });
  return (
    <Confirm
      title="End the remote?"
      deed="End it"
      isOpen
      isBusy={end.isPending}
      onClose={onClose}
      onConfirm={() => end.mutate()}
    >
      Nothing is pushed there any more, and nothing comes back. What is there stays.
    </Confirm>
  );
}

// Cancel, retry and rebuild: shown at once as if done, and taken back if refused.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Ban, Hammer, RotateCcw } from "lucide-react";
import { client } from "../api/client.ts";
import { reading } from "../api/read.ts";
import { hasRight, useIsNow, useSession } from "../session/session.ts";
import { Button } from "../ui/Button.tsx";
import { useFailed, useToast } from "../ui/Toast.tsx";
import { hasEnded, type Job } from "./job.ts";

/** Whether jobs of a project may be changed from this page. */
export function useMayWrite(projectId: string): boolean {
  const isNow = useIsNow();
  const me = useSession();
  const { data } = useQuery(reading("/projects/{id}", { params: { path: { id: projectId } } }));
  return isNow && hasRight(me, data, "write");
}

export function JobActions({ job }: { job: Job }) {
  const mayWrite = useMayWrite(job.projectId);
  const cancel = useChange(job, "/jobs/{id}/cancel", cancelled, "The job is cancelled.");
  const retry = useChange(job, "/jobs/{id}/retry", retried, "The job waits for its next attempt.");
  const rebuild = useRebuild(job);
  if (!hasEnded(job)) {
    return (
      <Button
        look="danger"
        disabled={!mayWrite || job.cancelRequested}
        isBusy={cancel.isPending}
        onClick={() => cancel.mutate()}
      >
        <Ban size={14} aria-hidden />
        {job.cancelRequested ? "Stopping…" : "Cancel"}
      </Button>
    );
  }
  return (
    <>
      <Button
        disabled={!mayWrite}
        isBusy={retry.isPending}
        title="The same job again, as its next attempt"
        onClick={() => retry.mutate()}
      >
        <RotateCcw size={14} aria-hidden />
        Retry
      </Button>
      {job.type === "build" && (
        <Button
          disabled={!mayWrite}
          isBusy={rebuild.isPending}
          title="A new build of the same code reference"
          onClick={() => rebuild.mutate()}
        >
          <Hammer size={14} aria-hidden />
          Rebuild
        </Button>
      )}
    </>
  );
}

function cancelled(job: Job): Job {
  if (job.state === "pending") return { ...job, state: "cancelled", endedAt: new Date().toISOString() };
  return { ...job, cancelRequested: true };
}

function retried(job: Job): Job {
  const { failure: _, endedAt: __, result: ___, progress: ____, ...rest } = job;
  return { ...rest, state: "pending" };
}

/** A change of the job that the page shows before the daemon has answered. */
function useChange(
  job: Job,
  path: "/jobs/{id}/cancel" | "/jobs/{id}/retry",
  guess: (job: Job) => Job,
  said: string,
) {
  const queries = useQueryClient();
  const toast = useToast();
  const failed = useFailed();
  const { queryKey } = reading("/jobs/{id}", { params: { path: { id: job.jobId } } });
  return useMutation({
    mutationFn: () => client.POST(path, { params: { path: { id: job.jobId } } }),
    async onMutate() {
      await queries.cancelQueries({ queryKey });
      const before = queries.getQueryData(queryKey);
      queries.setQueryData(queryKey, before && guess(before));
      return before;
    },
    onSuccess({ data }) {
      if (data) queries.setQueryData(queryKey, data);
      toast({ tone: "good", text: data?.cancelRequested ? "The agent is told to stop." : said });
    },
    onError(error, _, before) {
      queries.setQueryData(queryKey, before);
      failed(error);
    },
    onSettled: () => void queries.invalidateQueries({ queryKey }),
  });
}

function useRebuild(job: Job) {
  const navigate = useNavigate();
  const toast = useToast();
  const failed = useFailed();
  return useMutation({
    async mutationFn() {
      const { buildNumber: _, commit: __, ...payload } = job.payload ?? {};
      const { data } = await client.POST("/jobs/create", {
        body: {
          ...{ projectId: job.projectId, jobType: job.type, payload },
          ...(job.concurrencyGroup && { concurrencyGroup: job.concurrencyGroup }),
          ...{ labels: job.labels ?? [], priority: job.priority ?? 0, timeoutSeconds: job.timeoutSeconds },
        },
      });
      return data;
    },
    onSuccess(made) {
      toast({ tone: "good", text: "A new build is queued." });
      if (made)
        void navigate({
          to: "/projects/$id/jobs/$job",
          params: { id: job.projectId, job: made.jobId },
          search: {},
        });
    },
    onError: failed,
  });
}

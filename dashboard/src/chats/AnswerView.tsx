// An answer that is not there yet: waiting for an agent, in the making, failed, or stopped before its first word.
import { useMutation, useQuery } from "@tanstack/react-query";
import { CircleAlert, LoaderCircle, RotateCcw, Square } from "lucide-react";
import { useDeferredValue } from "react";
import { client } from "../api/client.ts";
import { reading } from "../api/read.ts";
import { Button } from "../ui/Button.tsx";
import { Markdown } from "../ui/Markdown.tsx";
import { useFailed } from "../ui/Toast.tsx";
import type { Answering } from "./heard.ts";
import { MessageFrame } from "./MessageView.tsx";

interface Props {
  jobId: string;
  live: Answering | undefined;
  /** Whether its message is there; then only an answer that is made anew shows. */
  isSaid: boolean;
  mayWrite: boolean;
}

export function AnswerView({ jobId, live, isSaid, mayWrite }: Props) {
  const { data: job } = useQuery(reading("/jobs/{id}", { params: { path: { id: jobId } } }));
  const isLiveNewer = live && (!job || live.attempt >= job.attempt);
  const state = (isLiveNewer ? live.state : job?.state) ?? "pending";
  const text = useDeferredValue(isLiveNewer ? live.text : "");
  if (state === "completed" || (state === "cancelled" && isSaid)) return null;
  if (state === "failed" || state === "cancelled") {
    const failure = (isLiveNewer ? live.failure : null) ?? job?.failure;
    return (
      <Ended
        jobId={jobId}
        mayWrite={mayWrite}
        code={failure?.code}
        text={
          state === "failed"
            ? (failure?.message ?? "The answer failed.")
            : "Stopped before the first word of an answer."
        }
      />
    );
  }
  const name = job?.claimedBy ?? "Answer";
  return (
    <MessageFrame
      isAnswer
      name={name}
      aside={<Waiting isClaimed={state !== "pending"} hasText={text !== ""} progress={job?.progress} />}
      actions={<Stop jobId={jobId} mayWrite={mayWrite} isStopping={job?.cancelRequested ?? false} />}
    >
      {text === "" && state === "pending" && <NoAgentYet />}
      <div aria-busy="true">{text !== "" && <Markdown text={text} />}</div>
    </MessageFrame>
  );
}

function Waiting({ isClaimed, hasText, progress }: WaitingProps) {
  return (
    <span role="status" className="flex items-center gap-1.5">
      <LoaderCircle size={13} aria-hidden className="animate-spin" />
      {hasText ? "writing" : isClaimed ? (progress ?? "reading the chat") : "waiting for an agent"}
    </span>
  );
}

interface WaitingProps {
  isClaimed: boolean;
  hasText: boolean;
  progress: string | null | undefined;
}

function NoAgentYet() {
  return (
    <p className="text-muted">
      The next agent that is free answers, with the model that the project's secret <code>llm</code> names.
    </p>
  );
}

function Stop({ jobId, mayWrite, isStopping }: { jobId: string; mayWrite: boolean; isStopping: boolean }) {
  const failed = useFailed();
  const stop = useMutation({
    mutationFn: () => client.POST("/jobs/{id}/cancel", { params: { path: { id: jobId } } }),
    onError: failed,
  });
  return (
    <Button disabled={!mayWrite || isStopping} isBusy={stop.isPending} onClick={() => stop.mutate()}>
      <Square size={12} aria-hidden />
      {isStopping ? "Stopping…" : "Stop"}
    </Button>
  );
}

function Ended({ jobId, mayWrite, code, text }: EndedProps) {
  return (
    <div className="my-3 flex flex-wrap items-center gap-3 rounded-lg border border-line bg-bad-soft px-4 py-3">
      <CircleAlert size={16} aria-hidden className="shrink-0 text-bad" />
      <div className="min-w-0 flex-1">
        <p className="break-words">{text}</p>
        {code && <code className="font-mono text-xs">{code}</code>}
        {code === "modelUnset" && (
          <p className="mt-1 text-xs">Say which model answers in the project's secrets, and retry.</p>
        )}
      </div>
      <Retry jobId={jobId} mayWrite={mayWrite} />
    </div>
  );
}

interface EndedProps {
  jobId: string;
  mayWrite: boolean;
  code: string | undefined;
  text: string;
}

export function Retry({ jobId, mayWrite }: { jobId: string; mayWrite: boolean }) {
  const failed = useFailed();
  const retry = useMutation({
    mutationFn: () => client.POST("/jobs/{id}/retry", { params: { path: { id: jobId } } }),
    onError: failed,
  });
  return (
    <Button disabled={!mayWrite} isBusy={retry.isPending} onClick={() => retry.mutate()}>
      <RotateCcw size={13} aria-hidden />
      Retry
    </Button>
  );
}

// One message: who said it and when, its text as Markdown, its files.
import { useQuery } from "@tanstack/react-query";
import clsx from "clsx";
import { Bot, Download, Paperclip, UserRound } from "lucide-react";
import type { ReactNode } from "react";
import { reading } from "../api/read.ts";
import { Badge } from "../ui/Badge.tsx";
import { size } from "../ui/bytes.ts";
import { CopyButton } from "../ui/Copy.tsx";
import { Markdown } from "../ui/Markdown.tsx";
import { Time } from "../ui/Time.tsx";
import type { Message, Part } from "./conversation.ts";

interface FrameProps {
  isAnswer: boolean;
  name: string;
  /** What stands beside the name: when, by which model. */
  aside?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

/** The frame of a message, of one on its way, and of an answer in the making. */
export function MessageFrame({ isAnswer, name, aside, actions, children }: FrameProps) {
  const Icon = isAnswer ? Bot : UserRound;
  return (
    <article aria-label={`Message of ${name}`} className="group flex gap-3 px-1 py-4">
      <span
        aria-hidden
        className={clsx(
          "grid size-7 shrink-0 place-items-center rounded-full",
          isAnswer ? "bg-busy-soft text-busy" : "bg-accent-soft text-accent",
        )}
      >
        <Icon size={15} />
      </span>
      <div className="min-w-0 flex-1">
        <header className="flex min-h-7 flex-wrap items-center gap-x-2">
          <span className="font-medium">{name}</span>
          <span className="flex items-center gap-2 text-xs text-muted">{aside}</span>
          <span className="ml-auto flex items-center">{actions}</span>
        </header>
        {children}
      </div>
    </article>
  );
}

export function MessageView({ id, message }: { id: string; message: Message }) {
  const isAnswer = message.role === "assistant";
  const text = message.parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");
  return (
    <MessageFrame
      isAnswer={isAnswer}
      name={message.author.name}
      aside={
        <>
          <Time at={message.createdAt} />
          {message.model && <span className="font-mono">{message.model}</span>}
          {message.interrupted && <Badge tone="warn">stopped here</Badge>}
          {message.continued && <Badge>goes on below</Badge>}
        </>
      }
      actions={
        text && (
          <span className="opacity-0 transition-opacity group-focus-within:opacity-100 group-hover:opacity-100">
            <CopyButton text={text} label="Copy the message" />
          </span>
        )
      }
    >
      <Parts id={id} parts={message.parts} />
    </MessageFrame>
  );
}

export function Parts({ id, parts }: { id: string; parts: readonly Part[] }) {
  return (
    <div className="flex flex-col gap-2">
      {parts.map((part, index) =>
        part.type === "text" ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a message never change
          <Markdown key={index} text={part.text} />
        ) : (
          <FilePart key={part.artifactId} id={id} artifactId={part.artifactId} />
        ),
      )}
    </div>
  );
}

function FilePart({ id, artifactId }: { id: string; artifactId: string }) {
  const { data, isError } = useQuery(
    reading("/projects/{id}/artifacts/{artifactId}", { params: { path: { id, artifactId } } }),
  );
  const shape =
    "flex h-9 max-w-full items-center gap-2 self-start rounded-md border border-line bg-code px-3 text-xs";
  if (isError) return <span className={clsx(shape, "text-muted")}>{artifactId} is kept no longer</span>;
  const isHere = data && !data.drivePath;
  const inside = (
    <>
      <Paperclip size={13} aria-hidden className="shrink-0" />
      <span className="truncate font-medium">{data?.name ?? artifactId}</span>
      {typeof data?.size === "number" && <span className="shrink-0 text-muted">{size(data.size)}</span>}
    </>
  );
  if (!isHere) return <span className={shape}>{inside}</span>;
  return (
    <a
      className={clsx(shape, "hover:bg-hover")}
      href={`/projects/${id}/artifacts/${artifactId}/content`}
      download={data.name}
    >
      {inside}
      <Download size={13} aria-hidden className="shrink-0 text-muted" />
    </a>
  );
}

// One chat: its messages with the newest below, the answers as they are written, and where the next message is written.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { MessagesSquare } from "lucide-react";
import { useRef } from "react";
import { client } from "../api/client.ts";
import type { ApiError } from "../api/error.ts";
import { reading, type Schemas } from "../api/read.ts";
import { useMayWrite } from "../session/may-write.ts";
import { useIsNow, useSession } from "../session/session.ts";
import { Button, buttonClass } from "../ui/Button.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, Skeleton } from "../ui/States.tsx";
import { useFailed } from "../ui/Toast.tsx";
import { AnswerView, Retry } from "./AnswerView.tsx";
import { ChatActions } from "./ChatActions.tsx";
import { ChatRail } from "./ChatRail.tsx";
import { Composer } from "./Composer.tsx";
import { type Message, useConversation } from "./conversation.ts";
import type { Answering, Sending } from "./heard.ts";
import { MessageFrame, MessageView, Parts } from "./MessageView.tsx";
import { ModeChoice } from "./ModeChoice.tsx";
import { useConversationScroll } from "./scroll.ts";

export default function ChatPage() {
  const { id, chatId } = useParams({ from: "/shell/projects/$id/chats/$chatId" });
  return (
    <div className="flex min-h-0 flex-1">
      <ChatRail id={id} />
      <section aria-label="Conversation" className="flex min-w-0 flex-1 flex-col">
        <Chat key={`${id} ${chatId}`} id={id} chatId={chatId} />
      </section>
    </div>
  );
}

function Chat({ id, chatId }: { id: string; chatId: string }) {
  const { mayWrite, reason } = useMayWrite(id);
  const navigate = useNavigate();
  const chat = useQuery(reading("/projects/{id}/chats/{chatId}", { params: { path: { id, chatId } } }));
  const { query, messages, answers, sending, send, drop } = useConversation(id, chatId, useIsNow());
  const box = useRef<HTMLElement>(null);
  const mayLoad = query.hasNextPage && !query.isFetchingNextPage;
  const onScroll = useConversationScroll(box, {
    first: messages[0]?.number ?? 0,
    sent: sending.length,
    onStart: mayLoad ? () => void query.fetchNextPage({ cancelRefetch: false }) : null,
  });
  const error = worthShowing(chat) ?? worthShowing(query);
  if (error)
    return <ErrorNote error={error} onRetry={() => void chat.refetch().then(() => query.refetch())} />;
  const last = messages.at(-1);
  return (
    <>
      <PageHead title={chat.data?.title ?? "Chat"}>
        {chat.data && (
          <>
            <Link to="/projects/$id/chats" params={{ id }} className={buttonClass("quiet", "xl:hidden")}>
              All chats
            </Link>
            <Mode id={id} chat={chat.data} mayWrite={mayWrite} />
            <ChatActions
              id={id}
              chat={chat.data}
              mayWrite={mayWrite}
              onGone={() => void navigate({ to: "/projects/$id/chats", params: { id } })}
            />
          </>
        )}
      </PageHead>
      <section
        ref={box}
        aria-label="Messages"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reachable by keyboard
        tabIndex={0}
        className="min-h-0 flex-1 overflow-y-auto px-4 outline-offset-[-2px]"
        onScroll={onScroll}
      >
        <div className="mx-auto flex min-h-full max-w-3xl flex-col py-2" role="log">
          {query.hasNextPage && (
            <Button
              look="quiet"
              className="self-center"
              isBusy={query.isFetchingNextPage}
              onClick={() => void query.fetchNextPage()}
            >
              Older messages
            </Button>
          )}
          {query.isPending && <SkeletonMessages />}
          {query.data && messages.length === 0 && sending.length === 0 && (
            <Empty icon={MessagesSquare} title="Nothing was said yet">
              {mayWrite && "Ask below; the next agent that is free answers."}
            </Empty>
          )}
          <Messages id={id} messages={messages} sending={sending} send={send} drop={drop} />
          {query.data && (
            <Answers
              lastJob={last?.jobId ?? chat.data?.lastJob}
              messages={messages}
              answers={answers}
              mayWrite={mayWrite}
            />
          )}
        </div>
      </section>
      <div className="px-4 pb-4">
        <div className="mx-auto max-w-3xl">
          <Composer
            id={id}
            label="Write a message"
            isDisabled={!mayWrite}
            reason={reason}
            onSend={(parts) => void send(parts)}
          />
        </div>
      </div>
    </>
  );
}

/** What was read before stays when it could not be read again, unless it is no more. */
function worthShowing({ error, data }: { error: ApiError | null; data: unknown }): ApiError | null {
  return data && error?.status !== 404 ? null : error;
}

interface MessagesProps {
  id: string;
  messages: readonly Message[];
  sending: readonly Sending[];
  send(parts: Sending["parts"], key: string): void;
  drop(key: string): void;
}

function Messages({ id, messages, sending, send, drop }: MessagesProps) {
  const me = useSession();
  return (
    <>
      {messages.map((message) => (
        <MessageView key={message.number} id={id} message={message} />
      ))}
      {sending.map(({ key, parts, error }) => (
        <div key={key} className={error ? undefined : "opacity-60"}>
          <MessageFrame isAnswer={false} name={me.name} aside={error ? "not sent" : "sending…"}>
            <Parts id={id} parts={parts} />
            {error && (
              <div role="alert" className="mt-2 flex flex-wrap items-center gap-2 text-bad">
                <span className="min-w-0 flex-1 break-words">{error.message}</span>
                <Button onClick={() => drop(key)}>Discard</Button>
                <Button onClick={() => send(parts, key)}>Send again</Button>
              </div>
            )}
          </MessageFrame>
        </div>
      ))}
    </>
  );
}

interface AnswersProps {
  lastJob: string | null | undefined;
  messages: readonly Message[];
  answers: ReadonlyMap<string, Answering>;
  mayWrite: boolean;
}

/** The answers that are not there yet: those that the stream tells of, and the last one. */
function Answers({ lastJob, messages, answers, mayWrite }: AnswersProps) {
  const said = new Set(messages.flatMap((one) => (one.role === "assistant" && one.jobId ? [one.jobId] : [])));
  const jobs = [...new Set([...answers.keys(), ...(lastJob ? [lastJob] : [])])].sort();
  const last = messages.at(-1);
  const lastAnswer = last?.jobId ? answers.get(last.jobId) : undefined;
  const isOpen = lastAnswer && ["pending", "claimed", "running"].includes(lastAnswer.state);
  return (
    <>
      {jobs.map((jobId) => (
        <AnswerView
          key={jobId}
          jobId={jobId}
          live={answers.get(jobId)}
          isSaid={said.has(jobId)}
          mayWrite={mayWrite}
        />
      ))}
      {last?.interrupted && last.jobId && !isOpen && (
        <div className="pl-11">
          <Retry jobId={last.jobId} mayWrite={mayWrite} />
        </div>
      )}
    </>
  );
}

function Mode({ id, chat, mayWrite }: { id: string; chat: Schemas["Chat"]; mayWrite: boolean }) {
  const failed = useFailed();
  const change = useMutation({
    mutationFn: (llmMode: Schemas["LlmMode"]) =>
      client.PATCH("/projects/{id}/chats/{chatId}", {
        params: { path: { id, chatId: chat.chatId } },
        body: { llmMode },
      }),
    onError: failed,
  });
  return (
    <ModeChoice
      value={change.isPending ? change.variables : chat.llmMode}
      isDisabled={!mayWrite}
      onChange={(mode) => change.mutate(mode)}
    />
  );
}

function SkeletonMessages() {
  return (
    <div role="status" aria-label="Loading" className="flex flex-col gap-6 py-4">
      {["w-2/3", "w-full", "w-1/2"].map((width) => (
        <div key={width} className="flex gap-3">
          <Skeleton className="size-7 rounded-full" />
          <Skeleton className={`h-16 ${width}`} />
        </div>
      ))}
    </div>
  );
}

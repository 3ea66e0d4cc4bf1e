// One chat on the screen: the messages that were read and told, those on their way, and the answers in the making.
import {
  type InfiniteData,
  infiniteQueryOptions,
  useInfiniteQuery,
  useMutation,
} from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";
import { asOf } from "../api/as-of.ts";
import { client } from "../api/client.ts";
import type { ApiError } from "../api/error.ts";
import type { Key, Schemas } from "../api/read.ts";
import { requestKey } from "../api/request-key.ts";
import { useSession } from "../session/session.ts";
import {
  type ChatEvent,
  type Heard,
  hasArrived,
  hear,
  NOTHING,
  type Sending,
  shown,
  withMessage,
} from "./heard.ts";
import { watchChat } from "./stream.ts";

const PAGE = 50;

export type Message = Schemas["Message"];
export type Part = Schemas["Part"];

/** The newest messages first, then page by page those before them. */
export function messagesQuery(id: string, chatId: string) {
  const path = "/projects/{id}/chats/{chatId}/messages" as const;
  const init = { params: { path: { id, chatId }, query: { limit: PAGE } } };
  return infiniteQueryOptions<
    Schemas["MessagesPage"],
    ApiError,
    InfiniteData<Schemas["MessagesPage"], string | null>,
    Key,
    string | null
  >({
    queryKey: [path, init, asOf()],
    async queryFn({ signal, pageParam }) {
      const query = pageParam ? { limit: PAGE, cursor: pageParam } : { limit: PAGE };
      const { data } = await client.GET(path, { params: { path: { id, chatId }, query }, signal });
      return data as Schemas["MessagesPage"];
    },
    initialPageParam: null,
    getNextPageParam: (page) => page.previousCursor ?? null,
  });
}

type Told = ChatEvent | { kind: "sent"; message: Message } | { kind: "begun"; after: number };

function tell(heard: Heard, told: Told): Heard {
  if (told.kind === "begun") return { ...heard, after: told.after };
  return told.kind === "sent" ? withMessage(heard, told.message) : hear(heard, told);
}

export function useConversation(id: string, chatId: string, isNow: boolean) {
  const query = useInfiniteQuery(messagesQuery(id, chatId));
  const [heard, say] = useReducer(tell, NOTHING);
  const messages = useMemo(
    () => shown(query.data?.pages.flatMap((page) => page.messages) ?? [], heard),
    [query.data, heard],
  );
  const isRead = query.data !== undefined;
  const last = messages.at(-1)?.number ?? 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the stream goes on by itself behind what was read first
  useEffect(() => {
    if (!isRead || !isNow) return;
    const stop = new AbortController();
    say({ kind: "begun", after: last });
    void watchChat({ project: id, chat: chatId, after: last }, say, stop.signal);
    return () => stop.abort();
  }, [id, chatId, isRead, isNow]);
  const sent = useCallback((message: Message) => say({ kind: "sent", message }), []);
  const { sending, ...rest } = useSending(id, chatId, last, sent);
  const { name } = useSession();
  const onTheWay = sending.filter((one) => !hasArrived(one, name, messages));
  return { query, messages, answers: heard.answers, sending: onTheWay, ...rest };
}

/** Shows what is sent at once; what was refused stays, to be sent again or taken back. */
function useSending(id: string, chatId: string, last: number, onSent: (message: Message) => void) {
  const [sending, setSending] = useState<readonly Sending[]>([]);
  const known = useRef(last);
  known.current = Math.max(known.current, last);
  const change = useCallback(
    (key: string, to: Partial<Sending>) =>
      setSending((all) => all.map((one) => (one.key === key ? { ...one, ...to } : one))),
    [],
  );
  const drop = useCallback((key: string) => setSending((all) => all.filter((one) => one.key !== key)), []);
  const { mutate } = useMutation({
    // One after the other, in the order in which they were written.
    scope: { id: `chat ${chatId}` },
    mutationFn: ({ key, parts }: Pick<Sending, "key" | "parts">) => {
      change(key, { after: known.current });
      return client.POST("/projects/{id}/chats/{chatId}/messages", {
        params: { path: { id, chatId }, header: { "Idempotency-Key": key } },
        body: { parts },
      });
    },
    onSuccess({ data }, { key }) {
      drop(key);
      if (!data) return;
      // The next one may go out before this one is drawn.
      known.current = Math.max(known.current, data.number);
      onSent(data as Message);
    },
    onError(error, { key }) {
      change(key, { error });
    },
  });
  const send = useCallback(
    (parts: Part[], key: string = requestKey()) => {
      setSending((all) => [...all.filter((one) => one.key !== key), { key, parts, after: null }]);
      mutate({ key, parts });
    },
    [mutate],
  );
  return { sending, send, drop };
}

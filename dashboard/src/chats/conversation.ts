// One chat on the screen: the messages that were read and told, those on their way, and the answers in the making.
import {
  type InfiniteData,
  infiniteQueryOptions,
  useInfiniteQuery,
  useMutation,
} from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useReducer, useState } from "react";
import { asOf } from "../api/as-of.ts";
import { client } from "../api/client.ts";
import type { ApiError } from "../api/error.ts";
import type { Key, Schemas } from "../api/read.ts";
import { requestKey } from "../api/request-key.ts";
import { type ChatEvent, type Heard, hear, NOTHING, withMessage } from "./heard.ts";
import { watchChat } from "./stream.ts";

const PAGE = 50;

export type Message = Schemas["Message"];
export type Part = Schemas["Part"];

/** A message that the daemon has not confirmed. */
export interface Sending {
  key: string;
  parts: Part[];
  error?: Error;
}

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

type Told = ChatEvent | { kind: "sent"; message: Message };

function tell(heard: Heard, told: Told): Heard {
  return told.kind === "sent" ? withMessage(heard, told.message) : hear(heard, told);
}

export function useConversation(id: string, chatId: string, isNow: boolean) {
  const query = useInfiniteQuery(messagesQuery(id, chatId));
  const [heard, say] = useReducer(tell, NOTHING);
  const messages = useMemo(() => {
    const read = query.data?.pages.flatMap((page) => page.messages) ?? [];
    const all = new Map([...read.map((one) => [one.number, one] as const), ...heard.messages]);
    return [...all.values()].sort((a, b) => a.number - b.number);
  }, [query.data, heard.messages]);
  const isRead = query.data !== undefined;
  const last = messages.at(-1)?.number ?? 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the stream goes on by itself behind what was read first
  useEffect(() => {
    if (!isRead || !isNow) return;
    const stop = new AbortController();
    void watchChat({ project: id, chat: chatId, after: last }, say, stop.signal);
    return () => stop.abort();
  }, [id, chatId, isRead, isNow]);
  const sent = useCallback((message: Message) => say({ kind: "sent", message }), []);
  return { query, messages, answers: heard.answers, ...useSending(id, chatId, sent) };
}

/** Shows what is sent at once; what was refused stays, to be sent again or taken back. */
function useSending(id: string, chatId: string, onSent: (message: Message) => void) {
  const [sending, setSending] = useState<readonly Sending[]>([]);
  const drop = useCallback((key: string) => setSending((all) => all.filter((one) => one.key !== key)), []);
  const { mutate } = useMutation({
    // One after the other, in the order in which they were written.
    scope: { id: `chat ${chatId}` },
    mutationFn: ({ key, parts }: Sending) =>
      client.POST("/projects/{id}/chats/{chatId}/messages", {
        params: { path: { id, chatId }, header: { "Idempotency-Key": key } },
        body: { parts },
      }),
    onSuccess({ data }, { key }) {
      drop(key);
      if (data) onSent(data as Message);
    },
    onError(error, { key }) {
      setSending((all) => all.map((one) => (one.key === key ? { ...one, error } : one)));
    },
  });
  const send = useCallback(
    (parts: Part[], key: string = requestKey()) => {
      setSending((all) => [...all.filter((one) => one.key !== key), { key, parts }]);
      mutate({ key, parts });
    },
    [mutate],
  );
  return { sending, send, drop };
}

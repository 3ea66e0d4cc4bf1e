// The chats of a project, the last changed first; narrow beside a conversation, wide on their own page.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { MessagesSquare, SearchX } from "lucide-react";
import { useCallback, useEffect } from "react";
import { readingPages, type Schemas } from "../api/read.ts";
import { Badge } from "../ui/Badge.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { VirtualList } from "../ui/VirtualList.tsx";

const PAGE = 200;
const ROW_HEIGHT = 52;

export function ChatList({ id, q, isNarrow = false }: { id: string; q: string; isNarrow?: boolean }) {
  const chats = useInfiniteQuery(
    readingPages("/projects/{id}/chats", { params: { path: { id }, query: { limit: PAGE } } }),
  );
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = chats;
  // The search is over all of them.
  useEffect(() => {
    if (q && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [q, hasNextPage, isFetchingNextPage, fetchNextPage]);
  const more = useCallback(() => void fetchNextPage({ cancelRefetch: false }), [fetchNextPage]);
  if (chats.isPending) return <SkeletonRows />;
  if (chats.isError) return <ErrorNote error={chats.error} onRetry={() => void chats.refetch()} />;
  const all = chats.data.flatMap((page) => page.chats);
  const found = q ? all.filter((chat) => fits(chat, q)) : all;
  if (all.length === 0 && !isNarrow) return <NoChats />;
  if (found.length === 0 && !hasNextPage && q)
    return <Empty icon={SearchX} title={`No chat is called “${q}”`} />;
  return (
    <VirtualList
      label="Chats"
      items={found}
      keyOf={(chat) => chat.chatId}
      rowHeight={ROW_HEIGHT}
      onEnd={hasNextPage ? more : undefined}
    >
      {(chat) => <ChatRow id={id} chat={chat} isNarrow={isNarrow} />}
    </VirtualList>
  );
}

function NoChats() {
  return (
    <Empty
      icon={MessagesSquare}
      title="No chats yet"
      command="mrx agent --daemon http://127.0.0.1:8421 --token-file laptop.key --name laptop"
    >
      Begin one with “New chat”. An agent answers, with the model that the project's secret <code>llm</code>{" "}
      names:
    </Empty>
  );
}

function ChatRow({ id, chat, isNarrow }: { id: string; chat: Schemas["Chat"]; isNarrow: boolean }) {
  return (
    <Link
      to="/projects/$id/chats/$chatId"
      params={{ id, chatId: chat.chatId }}
      className="flex h-full items-center gap-3 border-b border-line px-4 hover:bg-hover focus-visible:outline-offset-[-2px] aria-[current=page]:bg-accent-soft"
    >
      <span className="min-w-0 flex-1">
        <span className="block truncate font-medium" title={chat.title}>
          {chat.title}
        </span>
        <span className="block truncate text-xs text-muted">
          {counted(chat.messages)}
          {isNarrow && (
            <>
              {" · "}
              <Time at={chat.updatedAt} />
            </>
          )}
        </span>
      </span>
      {!isNarrow && chat.llmMode === "openai" && <Badge>OpenAI</Badge>}
      {!isNarrow && <Time at={chat.updatedAt} className="w-24 shrink-0 text-right text-xs text-muted" />}
    </Link>
  );
}

function counted(messages: number): string {
  if (messages === 0) return "empty";
  return messages === 1 ? "1 message" : `${messages} messages`;
}

function fits({ title }: Schemas["Chat"], q: string): boolean {
  const text = title.toLowerCase();
  return q
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

// The reader of a chat's stream: goes on behind the last message it was told, and comes back when it is cut.
import { ApiError } from "../api/error.ts";
import { backOff, connection, WAIT_MS_MIN } from "../live/stream.ts";
import type { ChatEvent } from "./heard.ts";

export interface Watch {
  project: string;
  chat: string;
  /** The last message that is known. */
  after: number;
}

/** Tells what happens in a chat until the signal says to stop, or the chat is no more. */
export async function watchChat(
  { project, chat, after }: Watch,
  onEvent: (event: ChatEvent) => void,
  stop: AbortSignal,
): Promise<void> {
  const path = `/projects/${project}/chats/${chat}/stream`;
  let [last, wait] = [String(after), WAIT_MS_MIN];
  const onOpen = () => {
    wait = WAIT_MS_MIN;
  };
  while (!stop.aborted) {
    try {
      for await (const { id, event, data } of connection(path, last, stop, onOpen)) {
        if (id) last = id;
        onEvent({ kind: event, ...JSON.parse(data) } as ChatEvent);
      }
    } catch (error) {
      const isOver = error instanceof ApiError && [401, 403, 404].includes(error.status);
      // The page's own reading says why.
      if (isOver) return;
    }
    if (!stop.aborted) wait = await backOff(wait, stop);
  }
}

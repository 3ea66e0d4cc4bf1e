// One reader of `GET /events` for the whole page: goes on behind the commit it last saw, and comes back when it is cut.
import { ApiError } from "../api/error.ts";
import type { Schemas } from "../api/read.ts";
import { messages, type SseMessage } from "./sse.ts";

export type LiveEvent = Schemas["Event"];
export type LiveState = "connecting" | "live" | "reconnecting";

export interface Listener {
  onEvent(event: LiveEvent): void;
  /** What was missed is not known: whatever is shown has to be read anew. */
  onGap(): void;
  onState(state: LiveState): void;
  /** The session has ended. */
  onRefused(): void;
}

/** Waits between attempts double from the first to the last, so that a daemon that restarts is found soon and not stormed. */
export const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 15_000;
/** The daemon sends a line every 15 s; a connection that is silent for longer is dead. */
const SILENCE_MS_MAX = 40_000;

/** Listens until the signal says to stop. */
export async function listen(listener: Listener, stop: AbortSignal): Promise<void> {
  let lastSeen: string | null = null;
  let wait = WAIT_MS_MIN;
  listener.onState("connecting");
  while (!stop.aborted) {
    try {
      const after: string | null = lastSeen;
      const onOpen = () => {
        // Without a place to go on from, something may have happened between reading the pages and listening.
        if (!after) listener.onGap();
        wait = WAIT_MS_MIN;
        listener.onState("live");
      };
      for await (const message of connection("/events", after, stop, onOpen)) {
        if (message.id) lastSeen = message.id;
        listener.onEvent(JSON.parse(message.data) as LiveEvent);
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return listener.onRefused();
      if (error instanceof ApiError && error.status === 410) lastSeen = null;
    }
    if (stop.aborted) return;
    listener.onState("reconnecting");
    wait = await backOff(wait, stop);
  }
}

/** One connection to a stream of events: its messages, until it ends, is silent for too long, or the signal says to stop. */
export async function* connection(
  path: string,
  after: string | null,
  stop: AbortSignal,
  onOpen: () => void,
): AsyncGenerator<SseMessage> {
  const cut = new AbortController();
  const end = () => cut.abort();
  stop.addEventListener("abort", end);
  let silence = setTimeout(end, SILENCE_MS_MAX);
  try {
    const headers: Record<string, string> = after ? { "Last-Event-ID": after } : {};
    const response = await fetch(path, { headers, signal: cut.signal, credentials: "same-origin" });
    if (!response.ok || !response.body) throw await ApiError.of(response);
    onOpen();
    const heard = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        clearTimeout(silence);
        silence = setTimeout(end, SILENCE_MS_MAX);
        controller.enqueue(chunk);
      },
    });
    yield* messages(response.body.pipeThrough(heard));
  } finally {
    clearTimeout(silence);
    stop.removeEventListener("abort", end);
    cut.abort();
  }
}

/** Waits about so long, less if the network comes back; gives the next wait. */
export async function backOff(wait: number, stop: AbortSignal): Promise<number> {
  await pause(wait * (0.75 + Math.random() / 2), stop);
  return Math.min(wait * 2, WAIT_MS_MAX);
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      stop.removeEventListener("abort", done);
      resolve();
    }
    window.addEventListener("online", done);
    stop.addEventListener("abort", done);
  });
}

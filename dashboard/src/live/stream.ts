// One reader of `GET /events` for the whole page: goes on behind the commit it last saw, and comes back when it is cut.
import { ApiError } from "../api/error.ts";
import type { Schemas } from "../api/read.ts";
import { messages } from "./sse.ts";

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
const WAIT_MS_MIN = 500;
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
      await follow(lastSeen, stop, listener, (id) => {
        lastSeen = id;
        wait = WAIT_MS_MIN;
      });
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return listener.onRefused();
      if (error instanceof ApiError && error.status === 410) lastSeen = null;
    }
    if (stop.aborted) return;
    listener.onState("reconnecting");
    await pause(wait * (0.75 + Math.random() / 2), stop);
    wait = Math.min(wait * 2, WAIT_MS_MAX);
  }
}

async function follow(
  after: string | null,
  stop: AbortSignal,
  listener: Listener,
  seen: (id: string | null) => void,
) {
  const cut = new AbortController();
  const end = () => cut.abort();
  stop.addEventListener("abort", end);
  let silence = setTimeout(end, SILENCE_MS_MAX);
  try {
    const headers: Record<string, string> = after ? { "Last-Event-ID": after } : {};
    const response = await fetch("/events", { headers, signal: cut.signal, credentials: "same-origin" });
    if (!response.ok || !response.body) throw await ApiError.of(response);
    // Without a place to go on from, something may have happened between reading the pages and listening.
    if (!after) listener.onGap();
    seen(after);
    listener.onState("live");
    const heard = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        clearTimeout(silence);
        silence = setTimeout(end, SILENCE_MS_MAX);
        controller.enqueue(chunk);
      },
    });
    for await (const message of messages(response.body.pipeThrough(heard))) {
      if (message.id) seen(message.id);
      listener.onEvent(JSON.parse(message.data) as LiveEvent);
    }
  } finally {
    clearTimeout(silence);
    stop.removeEventListener("abort", end);
    cut.abort();
  }
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

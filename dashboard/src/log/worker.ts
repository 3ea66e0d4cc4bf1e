// Reads a log beside the page: fetches it piece by piece, knows where its rows begin, follows it, and searches it.
import { ApiError } from "../api/error.ts";
import { messages, watched } from "../live/sse.ts";
import { plain, withoutEscapes } from "./ansi.ts";
import { Bytes } from "./bytes.ts";
import type { FromWorker, LogState, Open, ToWorker } from "./protocol.ts";
import { BLOCK_ROWS, RowIndex, rowsOf } from "./rows.ts";

/** What is shown first of a long log: enough for some screens, and there in a moment. */
const TAIL_BYTES = 256 << 10;
/** The page learns of progress this often. */
const TELL_MS = 100;
/** Rows that hold what is searched for are all counted; so many are told. */
const FOUND_MAX = 10_000;
/** So much is searched between two looks at whether the search still counts. */
const SEARCH_BYTES = 1 << 20;
/** Waits between attempts double, so that a daemon that restarts is found soon and not stormed. */
const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 15_000;
/** The daemon sends a line every 15 s; a connection that is silent for longer is dead. */
const SILENCE_MS_MAX = 40_000;
const NEWLINE = 0x0a;

/** A stretch of the log: its bytes and its rows. */
class Stretch {
  readonly bytes: Bytes;
  readonly index: RowIndex;

  constructor(start: number) {
    this.bytes = new Bytes(start);
    this.index = new RowIndex(start);
  }

  append(bytes: Uint8Array<ArrayBuffer>): void {
    this.bytes.append(bytes);
    this.index.append(bytes);
  }

  async rows(block: number): Promise<string[]> {
    const from = this.index.marks[block];
    if (from === undefined) return [];
    return rowsOf(await this.bytes.read(from, this.index.marks[block + 1] ?? this.index.end));
  }
}

let log: Open;
/** The log from its beginning. */
const head = new Stretch(0);
/** Its end, while the beginning has not been read up to it. */
let tail: Stretch | null = null;
let size = 0;
let isRead = false;
let isOver = false;
let epoch = 0;
let shift = 0;
let search = 0;
const waiters: (() => void)[] = [];

const say = (message: FromWorker) => postMessage(message);
const shown = () => tail ?? head;

let telling: ReturnType<typeof setTimeout> | undefined;
function tellSoon(): void {
  telling ??= setTimeout(tell, TELL_MS);
}
function tell(): void {
  clearTimeout(telling);
  telling = undefined;
  const read = head.index.end + (tail ? tail.index.end - tail.bytes.start : 0);
  const state: LogState = {
    ...{ epoch, shift, rows: shown().index.rows, size: Math.max(size, read), read },
    ...{ isWhole: !tail, isRead, isOver },
  };
  say({ kind: "state", state });
  for (const wake of waiters.splice(0)) wake();
}

async function fetchBytes(cursor: number): Promise<Uint8Array<ArrayBuffer>> {
  for (let wait = WAIT_MS_MIN; ; wait = Math.min(wait * 2, WAIT_MS_MAX)) {
    try {
      const response = await fetch(`${address()}&cursor=${cursor}`, {
        headers: { Accept: "application/octet-stream" },
        credentials: "same-origin",
      });
      if (!response.ok) throw await ApiError.of(response);
      size = Math.max(size, Number(response.headers.get("log-size")) || 0);
      return new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      if (error instanceof ApiError && error.status < 500 && error.status !== 429) throw error;
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}

const address = () => `/jobs/${encodeURIComponent(log.job)}/logs?attempt=${log.attempt}`;

async function open(): Promise<void> {
  head.append(await fetchBytes(0));
  if (log.isTailFirst && head.index.end < size - TAIL_BYTES) {
    tail = await stretchFrom(size - TAIL_BYTES);
    tell();
    if (!isOver) follow().catch(failed);
  }
  await readHead();
  isRead = true;
  tell();
  if (!isOver && !isFollowing) await follow();
}

/** The log from the first row behind an offset on. */
async function stretchFrom(offset: number): Promise<Stretch | null> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let end = offset;
  const target = size;
  while (end < target) {
    const bytes = await fetchBytes(end);
    if (bytes.length === 0) break;
    parts.push(bytes);
    end += bytes.length;
  }
  let at = offset;
  let made: Stretch | null = null;
  for (const part of parts) {
    const newline: number = made ? -1 : part.indexOf(NEWLINE);
    if (!made && newline >= 0) {
      made = new Stretch(at + newline + 1);
      made.append(part.slice(newline + 1));
    } else made?.append(part);
    at += part.length;
  }
  return made;
}

/** Reads the beginning up to the tail, or to the end. */
async function readHead(): Promise<void> {
  for (;;) {
    const goal = tail?.bytes.start ?? size;
    if (head.index.end >= goal) break;
    const bytes = await fetchBytes(head.index.end);
    if (bytes.length === 0) break;
    const rest = (tail?.bytes.start ?? Number.POSITIVE_INFINITY) - head.index.end;
    head.append(bytes.length > rest ? bytes.slice(0, rest) : bytes);
    tellSoon();
  }
  if (tail) await join(tail);
}

/** The beginning has reached the tail: they are one, and rows have their numbers. */
async function join(end: Stretch): Promise<void> {
  const rows = head.index.rows;
  for (let from = end.bytes.start; from < end.bytes.end; ) {
    const to = Math.min(from + SEARCH_BYTES, end.bytes.end);
    const bytes = await end.bytes.read(from, to);
    head.append(bytes);
    from = to;
  }
  tail = null;
  epoch += 1;
  shift += rows;
  tell();
}

/** Shows more of what is before the tail. */
let isExtending = false;
async function earlier(): Promise<void> {
  const now = tail;
  if (!now || isExtending) return;
  isExtending = true;
  try {
    const length = Math.min(4 * (now.bytes.end - now.bytes.start), 8 << 20);
    const from = Math.max(0, now.bytes.start - length);
    const more = from > head.index.end ? await stretchFrom(from) : null;
    if (!more || tail !== now) return;
    // What came meanwhile is in `now` alone.
    if (more.bytes.end < now.bytes.end) more.append(await now.bytes.read(more.bytes.end, now.bytes.end));
    if (tail !== now || more.bytes.end !== now.bytes.end) return;
    const behind = new RowIndex(more.bytes.start);
    behind.append(await more.bytes.read(more.bytes.start, now.bytes.start));
    tail = more;
    shift += behind.rows;
    epoch += 1;
    tell();
  } finally {
    isExtending = false;
  }
}

let isFollowing = false;
/** Hears what is written from here on, and comes back when the line breaks. */
async function follow(): Promise<void> {
  isFollowing = true;
  for (let wait = WAIT_MS_MIN; !isOver; wait = Math.min(wait * 2, WAIT_MS_MAX)) {
    const cut = new AbortController();
    try {
      const response = await fetch(`${address()}&cursor=${shown().index.end}`, {
        headers: { Accept: "text/event-stream" },
        credentials: "same-origin",
        signal: cut.signal,
      });
      if (!response.ok || !response.body) throw await ApiError.of(response);
      for await (const message of messages(watched(response.body, SILENCE_MS_MAX, () => cut.abort()))) {
        wait = WAIT_MS_MIN;
        if (message.event === "log") await hear(JSON.parse(message.data));
        if (message.event === "end") isOver = true;
      }
    } catch (error) {
      if (error instanceof ApiError && error.status < 500 && error.status !== 429) throw error;
    }
    tellSoon();
    if (!isOver) await new Promise((done) => setTimeout(done, wait));
  }
}

async function hear(part: { offset: number; size: number; text: string }): Promise<void> {
  const end = shown().index.end;
  if (part.offset !== end) return;
  let bytes: Uint8Array<ArrayBuffer> = new TextEncoder().encode(part.text);
  // What is no UTF-8, or cut within a character, is read as it is.
  if (bytes.length !== part.size || part.text.includes("\ufffd")) bytes = await fetchBytes(end);
  // The tail may have become part of the whole meanwhile.
  if (shown().index.end !== end) return;
  shown().append(bytes);
  size = Math.max(size, shown().index.end);
  tellSoon();
}

/** Finds the rows that hold a text, in any case; goes on as the log grows, until another search begins. */
async function find(id: number, wanted: string): Promise<void> {
  const rows: number[] = [];
  let [block, searched, count] = [0, 0, 0];
  const told = () => say({ kind: "found", id, rows, count, isDone: isRead });
  while (search === id) {
    const { marks, rows: known } = head.index;
    // Only whole blocks while more of them come.
    const last = isRead ? marks.length : marks.length - 1;
    if (tail || block >= last || (isRead && searched === known)) {
      told();
      await new Promise<void>((wake) => waiters.push(wake));
      continue;
    }
    let to = block + 1;
    const from = marks[block] as number;
    while (to < last && (marks[to] as number) - from < SEARCH_BYTES) to += 1;
    const bytes = await head.bytes.read(from, marks[to] ?? head.index.end);
    if (search !== id) return;
    const first = block * BLOCK_ROWS;
    const isLast = to >= marks.length;
    // Most pieces do not have it, and all of one is looked through at once.
    const all = isLast || mayHold(bytes, wanted) ? rowsOf(bytes) : [];
    for (const [at, row] of all.entries()) {
      if (first + at < searched || !plain(row).toLowerCase().includes(wanted)) continue;
      count += 1;
      if (rows.length < FOUND_MAX) rows.push(first + at);
    }
    searched = isLast ? first + all.length : to * BLOCK_ROWS;
    // The last block may still grow.
    block = isLast ? Math.max(block, Math.floor(searched / BLOCK_ROWS)) : to;
  }
}

function mayHold(bytes: Uint8Array, wanted: string): boolean {
  return withoutEscapes(new TextDecoder().decode(bytes)).toLowerCase().includes(wanted);
}

async function save(): Promise<void> {
  while (!isRead) await new Promise<void>((wake) => waiters.push(wake));
  say({ kind: "saved", blob: head.bytes.whole() });
}

function failed(error: unknown): void {
  const { status, code, message, requestId } = ApiError.from(error) as ApiError;
  say({ kind: "failed", status, code, message, requestId });
}

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === "open") {
    log = data;
    isOver = data.isOver;
    open().catch(failed);
  } else if (data.kind === "block") {
    const { block, read } = data;
    if (data.epoch !== epoch) return;
    shown()
      .rows(block)
      .then((rows) => data.epoch === epoch && say({ kind: "block", epoch, block, rows, read }))
      .catch(failed);
  } else if (data.kind === "earlier") earlier().catch(failed);
  else if (data.kind === "save") save().catch(failed);
  else {
    search = data.id;
    if (data.text) find(data.id, data.text).catch(failed);
  }
});

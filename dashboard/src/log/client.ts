// The page's side of a log: asks its worker for the rows in sight and keeps a few screens of them.
import { ApiError } from "../api/error.ts";
import type { FromWorker, LogState, Open, ToWorker } from "./protocol.ts";
import { BLOCK_ROWS } from "./rows.ts";

/** So many blocks of rows are kept; the worker gives others again in a moment. */
const BLOCKS_MAX = 40;

interface Block {
  rows: string[];
  /** How much of the log was read then, if rows may have been missing. */
  read: number | null;
}

export interface Found {
  text: string;
  rows: number[];
  count: number;
  isDone: boolean;
}

export class LogClient {
  state: LogState | null = null;
  error: Error | null = null;
  found: Found | null = null;
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  #blocks = new Map<number, Block>();
  /** The blocks of the epoch before, shown until those of this one are here. */
  #old = { blocks: new Map<number, Block>(), shift: 0 };
  readonly #asked = new Map<number, number>();
  #search = 0;
  #saving: ((blob: Blob) => void)[] = [];
  #listeners = new Set<() => void>();
  #version = 0;

  constructor(open: Omit<Open, "kind">) {
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#hear(data);
    this.#worker.onerror = () => {
      this.error = new Error("The reader of the log could not be started; load the page again.");
      this.#changed();
    };
    this.#say({ kind: "open", ...open });
  }

  close(): void {
    this.#worker.terminate();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly version = (): number => this.#version;

  /** A row's bytes as text, if they are here. */
  row(row: number): string | undefined {
    const block = this.#blocks.get(Math.floor(row / BLOCK_ROWS));
    if (block) return block.rows[row % BLOCK_ROWS];
    const before = row - this.#old.shift;
    return this.#old.blocks.get(Math.floor(before / BLOCK_ROWS))?.rows[before % BLOCK_ROWS];
  }

  /** These rows are in sight. */
  want(first: number, last: number): void {
    const { state } = this;
    if (!state) return;
    for (let block = Math.floor(first / BLOCK_ROWS); block * BLOCK_ROWS < last; block += 1) {
      const has = this.#blocks.get(block);
      const isOld = !has || (has.read !== null && has.read !== state.read);
      if (!isOld || this.#asked.get(block) === state.read) continue;
      this.#asked.set(block, state.read);
      this.#say({ kind: "block", epoch: state.epoch, block, read: state.read });
    }
  }

  earlier(): void {
    this.#say({ kind: "earlier" });
  }

  find(text: string): void {
    this.#search += 1;
    this.found = text ? { text: text.toLowerCase(), rows: [], count: 0, isDone: false } : null;
    this.#say({ kind: "find", id: this.#search, text: text.toLowerCase() });
    this.#changed();
  }

  /** The whole log, once it is here. */
  save(): Promise<Blob> {
    this.#say({ kind: "save" });
    return new Promise((done) => this.#saving.push(done));
  }

  #say(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #hear(message: FromWorker): void {
    if (message.kind === "state") this.#move(message.state);
    else if (message.kind === "block") this.#keep(message);
    else if (message.kind === "saved") this.#saving.shift()?.(message.blob);
    else if (message.kind === "failed")
      this.error = new ApiError(message.status, message.code, message.message, message.requestId);
    else if (this.found && message.id === this.#search) this.found = { ...this.found, ...message };
    this.#changed();
  }

  #move(state: LogState): void {
    if (this.state && this.state.epoch !== state.epoch) {
      this.#old = { blocks: this.#blocks, shift: state.shift - this.state.shift };
      this.#blocks = new Map();
      this.#asked.clear();
    }
    this.state = state;
  }

  #keep({ epoch, block, rows, read }: Extract<FromWorker, { kind: "block" }>): void {
    if (epoch !== this.state?.epoch) return;
    const isLast = (block + 1) * BLOCK_ROWS >= this.state.rows;
    this.#blocks.delete(block);
    this.#blocks.set(block, { rows, read: isLast ? read : null });
    if (this.#asked.get(block) === read) this.#asked.delete(block);
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= BLOCKS_MAX) break;
      this.#blocks.delete(oldest);
    }
  }

  #changed(): void {
    this.#version += 1;
    for (const listener of this.#listeners) listener();
  }
}

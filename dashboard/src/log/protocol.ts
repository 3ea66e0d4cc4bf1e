// What the page and its log's worker say to each other.

export interface Open {
  kind: "open";
  job: string;
  attempt: number;
  /** Whether the end is shown first, and the beginning read behind it. */
  isTailFirst: boolean;
  /** Whether nothing more will be written. */
  isOver: boolean;
}

export type ToWorker =
  | Open
  | { kind: "block"; epoch: number; block: number; read: number }
  | { kind: "earlier" }
  | { kind: "find"; id: number; text: string }
  | { kind: "save" };

/** How far the log is read. */
export interface LogState {
  /** Rows have their numbers anew when this grows. */
  epoch: number;
  /** By how much the numbers of rows have grown since the log was opened. */
  shift: number;
  rows: number;
  /** Bytes stored at the daemon, and how many of them are here. */
  size: number;
  read: number;
  /** Whether row 0 is line 1; else the beginning is still being read. */
  isWhole: boolean;
  /** Whether all that is stored is here. */
  isRead: boolean;
  isOver: boolean;
}

export type FromWorker =
  | { kind: "state"; state: LogState }
  | { kind: "block"; epoch: number; block: number; rows: string[]; read: number }
  | { kind: "found"; id: number; rows: number[]; count: number; isDone: boolean }
  | { kind: "saved"; blob: Blob }
  | { kind: "failed"; status: number; code: string; message: string; requestId: string | null };

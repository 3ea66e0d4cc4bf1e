// Where the rows of a log begin, told from its bytes alone, however they arrive. A row is a line, or a piece of a very long one.

/** A line longer than this is shown as several rows, so that one line of 100 MB freezes nothing. */
export const ROW_BYTES_MAX = 8192;
/** The start of every so-manieth row is kept: a log of 200 MB has some ten thousand of them. */
export const BLOCK_ROWS = 256;

const NEWLINE = 0x0a;
const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80;

export class RowIndex {
  /** The offsets at which every `every`-th row begins. */
  readonly marks: number[] = [];
  readonly every: number;
  rows = 0;
  /** The offset behind the last byte. */
  end: number;
  #rowStart: number;
  #isBetween = true;

  constructor(start: number, every = BLOCK_ROWS) {
    this.end = start;
    this.#rowStart = start;
    this.every = every;
  }

  /** Goes on with the bytes that follow. */
  append(bytes: Uint8Array): void {
    let newline = -1;
    for (let at = 0; at < bytes.length; ) {
      if (this.#isBetween) this.#begin(this.end + at);
      if (newline < at && newline !== bytes.length) {
        newline = bytes.indexOf(NEWLINE, at);
        if (newline < 0) newline = bytes.length;
      }
      const limit = this.#rowStart + ROW_BYTES_MAX - this.end;
      const isLine = newline < bytes.length && newline <= limit;
      at = isLine ? newline + 1 : cut(bytes, Math.max(at, limit));
      this.#isBetween = isLine || at < bytes.length;
    }
    this.end += bytes.length;
  }

  #begin(offset: number): void {
    if (this.rows % this.every === 0) this.marks.push(offset);
    this.rows += 1;
    this.#rowStart = offset;
    this.#isBetween = false;
  }
}

/** Where a row that has become too long ends: not inside a character of UTF-8, which has at most three more bytes. */
function cut(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < from + 3 && isContinuation(bytes[at])) at += 1;
  return Math.min(at, bytes.length);
}

const text = new TextDecoder();

/** The rows of bytes that begin with a row. */
export function rowsOf(bytes: Uint8Array): string[] {
  const index = new RowIndex(0, 1);
  index.append(bytes);
  return index.marks.map((start, row) => {
    let end = index.marks[row + 1] ?? bytes.length;
    if (bytes[end - 1] === NEWLINE) end -= 1;
    return text.decode(bytes.subarray(start, end));
  });
}

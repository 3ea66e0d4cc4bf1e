// The bytes of a log in the browser: as blobs, which it moves to disk when they are many.

/** Small pieces, such as a log that grows by lines, are joined up to this size. */
const JOIN_BYTES_MAX = 256 << 10;

interface Piece {
  start: number;
  blob: Blob;
}

export class Bytes {
  readonly start: number;
  end: number;
  readonly #pieces: Piece[] = [];

  constructor(start: number) {
    this.start = start;
    this.end = start;
  }

  append(bytes: Uint8Array<ArrayBuffer>): void {
    const last = this.#pieces.at(-1);
    if (last && last.blob.size + bytes.length <= JOIN_BYTES_MAX) last.blob = new Blob([last.blob, bytes]);
    else this.#pieces.push({ start: this.end, blob: new Blob([bytes]) });
    this.end += bytes.length;
  }

  async read(from: number, to: number): Promise<Uint8Array<ArrayBuffer>> {
    const parts: Blob[] = [];
    for (let at = this.#find(from); at < this.#pieces.length; at += 1) {
      const { start, blob } = this.#pieces[at] as Piece;
      if (start >= to) break;
      parts.push(blob.slice(Math.max(0, from - start), to - start));
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  }

  /** All of it, as a file to keep. */
  whole(): Blob {
    return new Blob(
      this.#pieces.map(({ blob }) => blob),
      { type: "text/plain;charset=utf-8" },
    );
  }

  /** The piece that holds an offset. */
  #find(offset: number): number {
    let [low, high] = [0, this.#pieces.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const { start, blob } = this.#pieces[middle] as Piece;
      if (start + blob.size <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

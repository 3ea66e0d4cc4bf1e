// What a row of a log looks like: colours as names of classes, everything else that a terminal would obey as visible text.
// Agents write these bytes, so they are data: nothing here makes markup, and what could hide or reorder text is shown.

export interface Span {
  text: string;
  /** Tailwind classes; empty for plain text. */
  look: string;
}

/** CSI (ECMA-48 §5.4), OSC and other strings up to their end, and two-character escapes. */
const ESCAPE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  /\u001b(?:\[([0-9:;<=>?]*)[ -/]*([@-~])|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\|$)|[ -/]*[0-~])/g;
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not pass
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
/** A row has at most this many spans; what follows keeps the look of the last. */
const SPANS_MAX = 500;

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;

/** A row rewritten by carriage returns, as progress bars do, shows what was written last. */
export function lastWritten(row: string): string {
  const ended = row.replace(/\r+$/, "");
  return ended.slice(ended.lastIndexOf("\r") + 1);
}

/** The text of a row as it is searched: without escape sequences. */
export function plain(row: string): string {
  const text = row.includes("\r") ? lastWritten(row) : row;
  return withoutEscapes(text);
}

export function withoutEscapes(text: string): string {
  return text.includes("\u001b") ? text.replace(ESCAPE, "") : text;
}

/** Control characters and those that reorder text, spelled out. */
export function spelled(text: string): string {
  return text.replace(HIDDEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x20) return `^${String.fromCodePoint(0x40 + code)}`;
    return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
  });
}

/** The spans of a row. Colours end with their row. */
export function spansOf(row: string): Span[] {
  const text = lastWritten(row);
  if (!text.includes("\u001b")) return text ? [{ text: spelled(text), look: "" }] : [];
  const spans: Span[] = [];
  const pen = new Pen();
  let from = 0;
  const add = (to: number) => {
    if (to > from) spans.push({ text: spelled(text.slice(from, to)), look: pen.look() });
  };
  for (const match of text.matchAll(ESCAPE)) {
    if (spans.length >= SPANS_MAX) break;
    add(match.index);
    from = match.index + match[0].length;
    if (match[2] === "m") pen.set(match[1] ?? "");
  }
  if (spans.length >= SPANS_MAX) spans.push({ text: spelled(plain(text.slice(from))), look: pen.look() });
  else add(text.length);
  return spans;
}

/** The rendition that SGR sequences set (ECMA-48 §8.3.117). */
class Pen {
  #front: string | null = null;
  #back: string | null = null;
  #styles = new Set<string>();
  #isReversed = false;

  set(parameters: string): void {
    // `38:2::1:2:3` and `38;2;1;2;3` say the same.
    const codes = parameters.split(/[;:]/).map((part) => Number.parseInt(part || "0", 10) || 0);
    for (let at = 0; at < codes.length; at += 1) {
      const code = codes[at] ?? 0;
      if (code === 38 || code === 48) {
        const [colour, used] = extended(codes.slice(at + 1), parameters.includes("::"));
        if (code === 38) this.#front = colour;
        else this.#back = colour;
        at += used;
      } else this.#one(code);
    }
  }

  #one(code: number): void {
    const style = STYLES[code];
    if (code === 0) {
      [this.#front, this.#back, this.#isReversed] = [null, null, false];
      this.#styles.clear();
    } else if (style) this.#styles.add(style);
    else if (code === 7 || code === 27) this.#isReversed = code === 7;
    else if (code === 22) for (const weight of ["font-bold", "ansi-dim"]) this.#styles.delete(weight);
    else if (ENDS[code]) this.#styles.delete(ENDS[code]);
    else if (code >= 30 && code <= 37) this.#front = NAMES[code - 30] ?? null;
    else if (code >= 90 && code <= 97) this.#front = NAMES[code - 90] ?? null;
    else if (code === 39) this.#front = null;
    else if (code >= 40 && code <= 47) this.#back = NAMES[code - 40] ?? null;
    else if (code >= 100 && code <= 107) this.#back = NAMES[code - 100] ?? null;
    else if (code === 49) this.#back = null;
  }

  look(): string {
    const looks = [...this.#styles];
    if (this.#back !== null || this.#isReversed) {
      // Every colour of text is readable on the log's own ground; on another one the text is that ground's.
      looks.push(`ansi-on-${this.#isReversed ? (this.#front ?? "white") : this.#back}`);
    } else if (this.#front !== null) looks.push(`ansi-${this.#front}`);
    return looks.join(" ");
  }
}

const STYLES: Record<number, string> = {
  1: "font-bold",
  2: "ansi-dim",
  3: "italic",
  4: "underline",
  9: "line-through",
};
const ENDS: Record<number, string> = { 23: "italic", 24: "underline", 29: "line-through" };

/** A colour of 256 or of 16 million, as the nearest of the theme's, which are readable; and how many codes said it. */
function extended(codes: number[], hasSpace: boolean): [colour: string | null, used: number] {
  if (codes[0] === 5) return [ofPalette(codes[1] ?? 0), 2];
  if (codes[0] !== 2) return [null, 0];
  const from = hasSpace ? 2 : 1;
  return [nearest(codes[from] ?? 0, codes[from + 1] ?? 0, codes[from + 2] ?? 0), from + 3];
}

function ofPalette(index: number): string | null {
  if (index < 16) return NAMES[index % 8] ?? null;
  if (index >= 232) return index < 244 ? "black" : "white";
  const cube = index - 16;
  const level = (step: number) => (step === 0 ? 0 : 55 + step * 40);
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function nearest(red: number, green: number, blue: number): string {
  const strongest = Math.max(red, green, blue);
  if (strongest - Math.min(red, green, blue) < 40) return strongest < 128 ? "black" : "white";
  const isOn = (part: number) => part > strongest * 0.6;
  return NAMES[(isOn(red) ? 1 : 0) + (isOn(green) ? 2 : 0) + (isOn(blue) ? 4 : 0)] ?? "white";
}

/** The spans with the places where `wanted` (in lower case) stands marked. */
export function marked(spans: readonly Span[], wanted: string): (Span & { isFound?: boolean })[] {
  const whole = spans.map(({ text }) => text).join("");
  const lower = whole.toLowerCase();
  // Where lowering changes the length of a text, places cannot be told.
  if (!wanted || lower.length !== whole.length || !lower.includes(wanted)) return [...spans];
  const parts: (Span & { isFound?: boolean })[] = [];
  let [begin, found] = [0, lower.indexOf(wanted)];
  for (const { text, look } of spans) {
    let at = 0;
    while (at < text.length) {
      while (found >= 0 && found + wanted.length <= begin + at)
        found = lower.indexOf(wanted, found + wanted.length);
      const isFound = found >= 0 && found <= begin + at;
      const to = found < 0 ? text.length : (isFound ? found + wanted.length : found) - begin;
      parts.push({ text: text.slice(at, to), look, isFound });
      at = Math.min(Math.max(to, at + 1), text.length);
    }
    begin += text.length;
  }
  return parts;
}

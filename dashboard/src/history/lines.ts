// Which lines of two texts differ: those before and after are kept, so that a change is read in its place.

export interface Line {
  kind: "same" | "removed" | "added" | "gap";
  text: string;
}

/** Texts whose differing middles are longer than this are shown whole, one below the other: comparing them takes the product of both. */
const COMPARED_MAX = 600;
/** Lines shown before and after a change. */
const AROUND = 2;
/** More lines of a field are not shown. */
export const SHOWN_MAX = 400;

/** A value of a field as lines: a text as it is, anything else as JSON. */
export function linesOf(value: unknown): string[] {
  if (value === null || value === undefined) return [];
  return (typeof value === "string" ? value.replace(/\n$/, "") : JSON.stringify(value, null, 2)).split("\n");
}

export function differing(from: string[], to: string[]): Line[] {
  let start = 0;
  while (start < from.length && start < to.length && from[start] === to[start]) start += 1;
  let end = 0;
  while (
    end < from.length - start &&
    end < to.length - start &&
    from[from.length - 1 - end] === to[to.length - 1 - end]
  )
    end += 1;
  const same = (texts: string[]): Line[] => texts.map((text) => ({ kind: "same", text }));
  return [
    ...same(from.slice(0, start)),
    ...middle(from.slice(start, from.length - end), to.slice(start, to.length - end)),
    ...same(from.slice(from.length - end)),
  ];
}

function middle(from: string[], to: string[]): Line[] {
  const whole: Line[] = [
    ...from.map((text) => ({ kind: "removed", text }) as const),
    ...to.map((text) => ({ kind: "added", text }) as const),
  ];
  if (from.length === 0 || to.length === 0 || from.length > COMPARED_MAX || to.length > COMPARED_MAX)
    return whole;
  const common = longestCommon(from, to);
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    if (i < from.length && j < to.length && from[i] === to[j]) {
      lines.push({ kind: "same", text: from[i] ?? "" });
      i += 1;
      j += 1;
    } else if (j >= to.length || (i < from.length && at(common, i + 1, j) >= at(common, i, j + 1))) {
      lines.push({ kind: "removed", text: from[i] ?? "" });
      i += 1;
    } else {
      lines.push({ kind: "added", text: to[j] ?? "" });
      j += 1;
    }
  }
  return lines;
}

const at = (table: Uint16Array[], i: number, j: number) => table[i]?.[j] ?? 0;

/** How many lines the texts from `i` and `j` on have in common, in order. */
function longestCommon(from: string[], to: string[]): Uint16Array[] {
  const table = Array.from({ length: from.length + 1 }, () => new Uint16Array(to.length + 1));
  for (let i = from.length - 1; i >= 0; i -= 1) {
    const row = table[i] as Uint16Array;
    for (let j = to.length - 1; j >= 0; j -= 1) {
      row[j] =
        from[i] === to[j] ? at(table, i + 1, j + 1) + 1 : Math.max(at(table, i + 1, j), at(table, i, j + 1));
    }
  }
  return table;
}

/** Without the lines that are far from any change. */
export function withoutFar(lines: Line[]): Line[] {
  const near = new Set<number>();
  lines.forEach((line, index) => {
    if (line.kind === "same") return;
    for (let n = index - AROUND; n <= index + AROUND; n += 1) near.add(n);
  });
  const shown: Line[] = [];
  lines.forEach((line, index) => {
    if (near.has(index)) shown.push(line);
    else if (shown.at(-1)?.kind !== "gap") shown.push({ kind: "gap", text: "⋯" });
  });
  return shown;
}

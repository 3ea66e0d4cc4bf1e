// A moment of a project: a commit, or a time that people write in their own zone and the API in UTC.

export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

/** What a person wrote, as the API reads it; what is neither is left to the API to refuse. */
export function asMoment(typed: string): string | undefined {
  const text = typed.trim();
  if (!text) return undefined;
  if (isCommit(text)) return text;
  const time = /^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?$/.test(text)
    ? new Date(text.length === 10 ? `${text}T00:00` : text.replace(" ", "T"))
    : new Date(Number.NaN);
  return Number.isNaN(time.getTime()) ? text : time.toISOString();
}

/** A moment of the API as a person writes it. */
export function asTyped(moment: string | undefined): string {
  if (!moment || isCommit(moment)) return moment ?? "";
  return local(new Date(moment)) || moment;
}

/** A time in the reader's zone: `2026-11-20 18:30:05`. */
export function local(time: Date): string {
  if (Number.isNaN(time.getTime())) return "";
  const two = (n: number) => `${n}`.padStart(2, "0");
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

// Lists that people type into one field.

/** `linux, gpu` as two; none if there is nothing. */
export function wordsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** The same, where nothing means any. */
export function anyOrWords(text: string): string[] | null {
  const words = wordsOf(text);
  return words.length > 0 ? words : null;
}

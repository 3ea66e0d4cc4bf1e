// Keys: `/` the page's search, `?` the help, `g` and a letter to go somewhere.
import { useEffect } from "react";

/** The second key of a pair comes within this time. */
const PAIR_MS = 1200;

export interface Shortcut {
  keys: string;
  does: string;
  run(): void;
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** Puts the cursor into the page's search: the input that has `data-search`. */
export function focusSearch(): void {
  document.querySelector<HTMLInputElement>("[data-search]")?.focus();
}

export function useShortcuts(shortcuts: readonly Shortcut[]): void {
  useEffect(() => {
    let first: { key: string; at: number } | null = null;
    const onKey = (event: KeyboardEvent) => {
      const isOurs = !event.ctrlKey && !event.metaKey && !event.altKey && !event.defaultPrevented;
      if (!isOurs || isTyping(event.target) || document.querySelector("dialog[open]")) return;
      const isPair = first !== null && event.timeStamp - first.at < PAIR_MS;
      const typed = isPair ? `${first?.key} ${event.key}` : event.key;
      first = null;
      const found = shortcuts.find(({ keys }) => keys === typed);
      if (found) {
        event.preventDefault();
        found.run();
      } else if (shortcuts.some(({ keys }) => keys.startsWith(`${event.key} `))) {
        first = { key: event.key, at: event.timeStamp };
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [shortcuts]);
}

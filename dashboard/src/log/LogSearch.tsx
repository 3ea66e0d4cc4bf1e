// The search in a log: what is typed is found as it is typed; Enter and Shift+Enter go from line to line.
import { ChevronDown, ChevronUp } from "lucide-react";
import { type KeyboardEvent, useEffect, useState } from "react";
import { IconButton } from "../ui/Button.tsx";
import { inputClass } from "../ui/Field.tsx";
import type { Found, LogClient } from "./client.ts";

/** A search begins when the typing pauses. */
const PAUSE_MS = 200;

interface Props {
  client: LogClient;
  /** The line that was gone to last. */
  current: number | null;
  onGo(row: number): void;
}

export function LogSearch({ client, current, onGo }: Props) {
  const [text, setText] = useState("");
  const { found } = client;
  useEffect(() => {
    const timer = setTimeout(() => client.find(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [client, text]);
  const go = (isBack: boolean) => {
    const row = found && next(found.rows, current, isBack);
    if (row !== null && row !== undefined) onGo(row);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter") go(event.shiftKey);
    if (event.key === "Escape") setText("");
  };
  const hasNone = !found?.rows.length;
  return (
    <search className="flex items-center gap-1">
      <input
        data-search
        type="search"
        aria-label="Search the log"
        placeholder="Search the log  /"
        className={`${inputClass} max-w-36 sm:max-w-44`}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKey}
      />
      <IconButton label="Line found before" disabled={hasNone} onClick={() => go(true)}>
        <ChevronUp size={15} aria-hidden />
      </IconButton>
      <IconButton label="Next line found" disabled={hasNone} onClick={() => go(false)}>
        <ChevronDown size={15} aria-hidden />
      </IconButton>
      <span role="status" className="text-xs text-muted">
        {found && text && said(found, current)}
      </span>
    </search>
  );
}

function next(rows: readonly number[], current: number | null, isBack: boolean): number | undefined {
  if (current === null) return isBack ? rows.at(-1) : rows[0];
  if (isBack) return rows.findLast((row) => row < current) ?? rows.at(-1);
  return rows.find((row) => row > current) ?? rows[0];
}

function said({ rows, count, isDone }: Found, current: number | null): string {
  const all = `${count.toLocaleString()}${isDone ? "" : "…"}`;
  const place = current === null ? -1 : rows.indexOf(current);
  return place < 0 ? all : `${(place + 1).toLocaleString()} of ${all}`;
}

// Moments and spans in the reader's own time zone; the exact one on hover.
import { useEffect, useState } from "react";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

const clockOnly = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** The exact moment in the reader's zone; what is no time is told as it is. */
export function exactly(at: string): string {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? at : exact.format(time);
}

/** The time of day: `18:30`. */
export function clock(at: string): string {
  return clockOnly.format(new Date(at));
}

/** How long ago, in the words of a glance: `12 s ago`, `3 h ago`, `21 Nov`; of what is to come: `in 6 d`. */
export function ago(at: Date, now: Date): string {
  const seconds = Math.round((now.getTime() - at.getTime()) / 1000);
  if (seconds <= -7 * DAY) return (at.getFullYear() === now.getFullYear() ? day : dayOfYear).format(at);
  if (seconds <= -DAY) return `in ${Math.floor(-seconds / DAY)} d`;
  if (seconds <= -HOUR) return `in ${Math.floor(-seconds / HOUR)} h`;
  if (seconds < -5) return `in ${Math.max(1, Math.floor(-seconds / MINUTE))} min`;
  if (seconds < 5) return "now";
  if (seconds < MINUTE) return `${seconds} s ago`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ago`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ago`;
  if (seconds < 7 * DAY) return `${Math.floor(seconds / DAY)} d ago`;
  return (at.getFullYear() === now.getFullYear() ? day : dayOfYear).format(at);
}

/** A span: `4.2 s`, `3 min 20 s`, `1 h 5 min`. */
export function span(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < MINUTE) return `${Math.round(seconds)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ${Math.round(seconds % MINUTE)} s`;
  return `${Math.floor(seconds / HOUR)} h ${Math.round((seconds % HOUR) / MINUTE)} min`;
}

// One timer for all times on the page; it asks nobody anything.
const tellers = new Set<(now: Date) => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** The time, told anew every `TICK_MS`. */
const TICK_MS = 5000;
export function useNow(): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    tellers.add(setNow);
    timer ??= setInterval(() => {
      for (const tell of tellers) tell(new Date());
    }, TICK_MS);
    return () => {
      tellers.delete(setNow);
      if (tellers.size === 0) {
        clearInterval(timer);
        timer = undefined;
      }
    };
  }, []);
  return now;
}

export function Time({ at, className }: { at: string; className?: string }) {
  const now = useNow();
  const date = new Date(at);
  return (
    <time dateTime={at} title={exact.format(date)} className={className}>
      {ago(date, now)}
    </time>
  );
}

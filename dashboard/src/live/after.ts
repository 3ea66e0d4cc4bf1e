// Looks again some time after a project's events: at what follows a commit and is none itself, such as a delivery or a push.
import { useEffect, useRef } from "react";
import { useIsNow } from "../session/session.ts";
import { useOnEvent } from "./Live.tsx";

export function useLookAfter(project: string, delaysMs: readonly number[], look: () => unknown): void {
  const isNow = useIsNow();
  const timers = useRef<ReturnType<typeof setTimeout>[]>([]);
  useOnEvent((event) => {
    if (event.projectId !== project || !isNow) return;
    timers.current.forEach(clearTimeout);
    timers.current = delaysMs.map((ms) => setTimeout(look, ms));
  });
  useEffect(() => () => timers.current.forEach(clearTimeout), []);
}

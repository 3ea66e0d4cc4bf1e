// Keeps what is shown up to date while somebody is signed in. `useOnEvent` hands single events to a page.
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useRef, useState } from "react";
import type { Key } from "../api/read.ts";
import { invalidate, isChanged } from "./invalidate.ts";
import { type LiveEvent, type LiveState, listen } from "./stream.ts";

/** Events of this time are taken together, so that a busy daemon makes a page read three times a second at most. */
const GATHER_MS = 300;

type Hear = (event: LiveEvent) => void;
const LiveContext = createContext<{ state: LiveState; hearers: Set<Hear> }>({
  state: "connecting",
  hearers: new Set(),
});

export function Live({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [state, setState] = useState<LiveState>("connecting");
  const [hearers] = useState(() => new Set<Hear>());
  useEffect(() => {
    const stop = new AbortController();
    let gathered: LiveEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      const events = gathered;
      [gathered, timer] = [[], undefined];
      invalidate(client, (key: Key) => events.some((event) => isChanged(key, event)));
    };
    const onEvent = (event: LiveEvent) => {
      for (const hear of hearers) hear(event);
      gathered.push(event);
      timer ??= setTimeout(flush, GATHER_MS);
    };
    const onGap = () => invalidate(client, (key) => key[2] === null);
    const onRefused = () => void client.invalidateQueries({ queryKey: ["/auth/me"] });
    void listen({ onEvent, onGap, onState: setState, onRefused }, stop.signal);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [client, hearers]);
  return <LiveContext value={{ state, hearers }}>{children}</LiveContext>;
}

export function useLiveState(): LiveState {
  return useContext(LiveContext).state;
}

/** Calls `hear` with every event while the component is there. */
export function useOnEvent(hear: Hear): void {
  const { hearers } = useContext(LiveContext);
  const latest = useRef(hear);
  latest.current = hear;
  useEffect(() => {
    const call: Hear = (event) => latest.current(event);
    hearers.add(call);
    return () => void hearers.delete(call);
  }, [hearers]);
}

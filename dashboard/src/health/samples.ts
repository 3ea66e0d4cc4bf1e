// How the daemon is, looked at again and again while the page is open: what is in memory alone has no events.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { reading, type Schemas } from "../api/read.ts";

export interface Sample {
  /** Seconds since 1970. */
  time: number;
  state: Schemas["DebugState"];
}

const LOOK_MS = 2000;
/** Ten minutes of them. */
const KEPT = 300;

export function useSamples() {
  const state = useQuery({ ...reading("/admin/debug/state"), refetchInterval: LOOK_MS, gcTime: 0 });
  const [samples, setSamples] = useState<readonly Sample[]>([]);
  const { data, dataUpdatedAt } = state;
  useEffect(() => {
    if (data) setSamples((all) => [...all.slice(1 - KEPT), { time: dataUpdatedAt / 1000, state: data }]);
  }, [data, dataUpdatedAt]);
  return { state, samples };
}

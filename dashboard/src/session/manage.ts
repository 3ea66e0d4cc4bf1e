// Whether the signed-in person may change a project here and now.
import { useQuery } from "@tanstack/react-query";
import { reading } from "../api/read.ts";
import { hasRight, type Right, useIsNow, useSession } from "./session.ts";

/** Not while the page shows the past, and not without the right. */
export function useMay(right: Right, id: string): boolean {
  const me = useSession();
  const isNow = useIsNow();
  const { data } = useQuery(reading("/projects/{id}", { params: { path: { id } } }));
  return isNow && hasRight(me, data, right);
}

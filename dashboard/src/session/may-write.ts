// Whether the person may write in a project, now; and if not, why.
import { useQuery } from "@tanstack/react-query";
import { reading } from "../api/read.ts";
import { hasRight, type Right, useIsNow, useSession } from "./session.ts";

export function useMayWrite(
  id: string,
  right: Right = "write",
): { mayWrite: boolean; reason: string | undefined } {
  const me = useSession();
  const isNow = useIsNow();
  const project = useQuery(reading("/projects/{id}", { params: { path: { id } } }));
  const mayWrite = isNow && hasRight(me, project.data, right);
  if (mayWrite || project.isPending) return { mayWrite, reason: undefined };
  const reason = isNow ? "You may read this project, not write in it" : "The past cannot be changed";
  return { mayWrite, reason };
}

// Who is signed in, and what they may do.
import { queryOptions, useMutation, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { client, setCsrfToken } from "../api/client.ts";
import type { Key, Schemas } from "../api/read.ts";

export const sessionQuery = queryOptions({
  queryKey: ["/auth/me", null, null] as Key,
  async queryFn({ signal }) {
    const { data } = await client.GET("/auth/me", { signal });
    if (!data) throw new Error("the daemon did not say who is signed in");
    setCsrfToken(data.csrfToken);
    return data;
  },
});

export function useSession(): Schemas["MeView"] {
  return useSuspenseQuery(sessionQuery).data;
}

export interface Login {
  name: string;
  password: string;
}

/** Begins a session whose token no script can read. */
export async function logIn({ name, password }: Login): Promise<void> {
  const { data } = await client.POST("/auth/login", { body: { name, password, cookie: true } });
  setCsrfToken(data?.csrfToken);
}

export function useSignOut(onDone: () => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => client.POST("/auth/logout"),
    onSuccess() {
      setCsrfToken(null);
      queries.clear();
      onDone();
    },
  });
}

const RIGHTS = ["read", "write", "admin"] as const;
export type Right = (typeof RIGHTS)[number];

/** Whether a person may do what needs a right in a project; the daemon decides, this spares them the refusal. */
export function hasRight(
  me: Schemas["MeView"],
  project: Schemas["Project"] | undefined,
  wanted: Right,
): boolean {
  if (me.role === "admin") return true;
  const member = project?.members?.find((member) => member.user === me.name);
  if (!member || (me.role === "viewer" && wanted !== "read")) return false;
  return RIGHTS.indexOf(member.right as Right) >= RIGHTS.indexOf(wanted);
}

/** Whether controls that write are of use: not while the page shows the past. */
export function useIsNow(): boolean {
  return !useSearch({ strict: false }).at;
}

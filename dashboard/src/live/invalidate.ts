// Which queries an event makes old. A subject adds a line; whatever is not named here is read anew when it is next shown.
import type { Query, QueryClient } from "@tanstack/react-query";
import type { Key } from "../api/read.ts";
import type { LiveEvent } from "./stream.ts";

/** The paths that events of a subject (the word before the dot) change, besides the project's history and what differs since. */
const CHANGED: Record<string, readonly string[]> = {
  project: ["/projects", "/projects/{id}", "/projects/{id}/files", "/projects/{id}/prompt"],
  code: ["/projects", "/projects/{id}", "/projects/{id}/files"],
  job: ["/projects/{id}/jobs", "/jobs/{id}"],
  artifact: ["/projects/{id}/artifacts", "/projects/{id}/artifacts/{artifactId}"],
  chat: ["/projects/{id}/chats", "/projects/{id}/chats/{chatId}", "/projects/{id}/chats/{chatId}/messages"],
  schedule: ["/projects/{id}/schedules", "/projects/{id}/schedules/{name}"],
  secret: ["/admin/secrets/{id}", "/admin/recipients"],
  webhook: ["/projects/{id}/webhooks", "/projects/{id}/webhooks/{webhookId}"],
  remote: ["/projects/{id}/remote"],
  agent: ["/agents"],
  user: ["/admin/users", "/admin/users/{name}", "/admin/invites", "/auth/me"],
  invite: ["/admin/invites"],
  key: ["/keys"],
  recipients: ["/admin/recipients"],
};
const OF_ALL = ["/projects/{id}/history", "/projects/{id}/diff"];
/** Lists that somebody has scrolled further than this many pages say that there is something new, and do not load all pages again. */
const PAGES_READ_ANEW_MAX = 3;

/** Whether an event makes a query old. */
export function isChanged(key: Key, event: LiveEvent): boolean {
  const [path, init, at] = key;
  // What was, stays as it was.
  if (at) return false;
  const subject = event.event.split(".")[0] ?? "";
  // A commit that somebody made by hand can be about anything.
  const isAbout = subject === "commit" || OF_ALL.includes(path) || (CHANGED[subject] ?? []).includes(path);
  return isAbout && isOfProject(path, init, event.projectId ?? null);
}

function isOfProject(path: string, init: unknown, project: string | null): boolean {
  if (!path.startsWith("/projects/{id}") || !project) return true;
  return (init as { params?: { path?: { id?: string } } } | null)?.params?.path?.id === project;
}

export function isLong(query: Query): boolean {
  const pages = (query.state.data as { pages?: unknown[] } | undefined)?.pages;
  return Array.isArray(pages) && pages.length > PAGES_READ_ANEW_MAX;
}

/** Marks what several events changed as old, and reads what is on the screen anew. */
export function invalidate(client: QueryClient, isOld: (key: Key) => boolean): void {
  const predicate = (query: Query) => isOld(query.queryKey as unknown as Key);
  const shown = { cancelRefetch: false };
  void client.invalidateQueries({ predicate: (query) => predicate(query) && !isLong(query) }, shown);
  void client.invalidateQueries({
    predicate: (query) => predicate(query) && isLong(query),
    refetchType: "none",
  });
}

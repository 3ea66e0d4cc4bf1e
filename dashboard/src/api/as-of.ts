// "As of": a commit or a time in the address (`?at=`) makes every page show the state as it was then.

/** Paths of a project's state have a past, but for those of its code, logs, streams and commits, which the daemon refuses `at` for. */
const OF_THE_PAST = /^\/(projects|jobs|admin\/secrets)\/\{id\}/;
const WITHOUT_PAST = /\/(logs|content|stream|files|history|deliveries|commits\/\{oid\}|diff|remote)$/;
/** Paths of the platform's state have one too: its commits are others, so a commit of a project means nothing there, and a time does. */
const OF_THE_PLATFORM = ["/projects", "/admin/recipients"];

/** The moment that the address names, if any. */
export function asOf(): string | null {
  return new URLSearchParams(location.search).get("at") || null;
}

export function isOfThePast(schemaPath: string, at: string): boolean {
  if (OF_THE_PLATFORM.includes(schemaPath)) return !/^[0-9a-f]{40}$/.test(at);
  return OF_THE_PAST.test(schemaPath) && !WITHOUT_PAST.test(schemaPath);
}

// "As of": a commit in the address (`?at=`) makes every page show the state as it was at that commit.

/** Paths of a project's state have a past, but for those of its code, logs, streams and commits, which the daemon refuses `at` for. */
const OF_THE_PAST = /^\/(projects|jobs)\/\{id\}/;
const WITHOUT_PAST = /\/(logs|content|stream|files|history|deliveries|commits\/\{oid\})$/;

/** The commit that the address names, if any. */
export function asOf(): string | null {
  return new URLSearchParams(location.search).get("at") || null;
}

export function isOfThePast(schemaPath: string): boolean {
  return OF_THE_PAST.test(schemaPath) && !WITHOUT_PAST.test(schemaPath);
}

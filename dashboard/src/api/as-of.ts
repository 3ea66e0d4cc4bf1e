// "As of": a commit in the address (`?at=`) makes every page show the state as it was at that commit.

/** Paths whose answers are the state of a project; accounts, keys and streams have no past to show. */
const OF_THE_PAST = /^\/(projects\/\{id\}|jobs\/\{id\})/;

/** The commit that the address names, if any. */
export function asOf(): string | null {
  return new URLSearchParams(location.search).get("at") || null;
}

export function isOfThePast(schemaPath: string): boolean {
  return OF_THE_PAST.test(schemaPath);
}

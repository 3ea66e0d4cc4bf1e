// Where a project's code is, in the words of a glance.
import type { Schemas } from "../api/read.ts";

/** `github.com/acme/mrx-weather`; of a folder on the daemon's machine, only its name. */
export function repoName({ repo, forge }: Schemas["Project"]): string {
  return forge?.kind === "local" ? (repo.split("/").at(-1) ?? repo) : repo;
}

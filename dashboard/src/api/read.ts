// How pages read: a path of the API and its parameters are a query, whose key says what it depends on.
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { MaybeOptionalInit } from "openapi-fetch";
import type { PathsWithMethod, SuccessResponseJSON } from "openapi-typescript-helpers";
import { asOf } from "./as-of.ts";
import { client } from "./client.ts";
import type { ApiError } from "./error.ts";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
type GetPath = PathsWithMethod<paths, "get">;
// biome-ignore lint/suspicious/noExplicitAny: openapi-typescript's own bound of an operation
type Operation = Record<string | number, any>;
export type Answer<P extends GetPath> = SuccessResponseJSON<paths[P]["get"] & Operation>;
type Init<P extends GetPath> = MaybeOptionalInit<paths[P], "get">;

/** What a query's key is made of; `live/invalidate.ts` reads it. */
export type Key = readonly [path: string, init: unknown, at: string | null];

async function get<P extends GetPath>(path: P, init: unknown, signal: AbortSignal): Promise<Answer<P>> {
  // The types of path and init are checked where `reading` is called.
  const call = client.GET as (path: string, init: object) => Promise<{ data?: unknown }>;
  return (await call(path, { ...(init as object), signal })).data as Answer<P>;
}

/** A query of one answer: `useQuery(reading("/projects/{id}", { params: { path: { id } } }))`. */
export function reading<P extends GetPath>(
  path: P,
  ...[init]: undefined extends Init<P> ? [Init<P>?] : [Init<P>]
) {
  return queryOptions<Answer<P>, ApiError, Answer<P>, Key>({
    queryKey: [path, init ?? null, asOf()],
    queryFn: ({ signal }) => get(path, init, signal),
  });
}

type Paged = { nextCursor?: string | null };

/** A query of pages that follow each other by `nextCursor`. */
export function readingPages<P extends GetPath>(path: P, init: Init<P>) {
  return infiniteQueryOptions<Answer<P>, ApiError, Answer<P>[], Key, string | null>({
    queryKey: [path, init ?? null, asOf()],
    queryFn: ({ signal, pageParam }) => get(path, withCursor(init, pageParam), signal),
    initialPageParam: null,
    getNextPageParam: (last) => (last as Paged).nextCursor ?? null,
    select: (data) => data.pages,
  });
}

function withCursor(init: unknown, cursor: string | null): unknown {
  if (!cursor) return init;
  const { params } = (init ?? {}) as { params?: { query?: object } };
  return { ...(init as object), params: { ...params, query: { ...params?.query, cursor } } };
}

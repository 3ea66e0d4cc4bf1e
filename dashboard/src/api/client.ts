// The one client of the HTTP API: every call goes through it, and it alone knows of the CSRF token and of "as of".
import createClient, { type Middleware } from "openapi-fetch";
import { asOf, isOfThePast } from "./as-of.ts";
import { ApiError } from "./error.ts";
import type { paths } from "./schema";

let csrfToken: string | null = null;

/** The session's token against calls in its name by other sites; `/auth/login` and `/auth/me` tell it. */
export function setCsrfToken(token: string | null | undefined): void {
  csrfToken = token ?? null;
}

const session: Middleware = {
  onRequest({ request }) {
    if (request.method !== "GET" && csrfToken) request.headers.set("Mrx-Csrf", csrfToken);
    return request;
  },
};

const past: Middleware = {
  onRequest({ request, schemaPath, params }) {
    const at = asOf();
    if (!at || (request.method === "GET" && !isOfThePast(schemaPath, at))) return request;
    // The commit is one of a project.
    if (request.method === "GET" && params.path?.id === "platform") return request;
    if (request.method !== "GET") {
      // Signing in and out is no change to what the page shows.
      if (schemaPath.startsWith("/auth/")) return request;
      throw new ApiError(0, "asOf", "The page shows the past, which cannot be changed. Return to now first.");
    }
    const url = new URL(request.url);
    url.searchParams.set("at", at);
    return new Request(url, request);
  },
};

const errors: Middleware = {
  async onResponse({ response }) {
    if (response.ok) return response;
    throw await ApiError.of(response);
  },
  onError({ error }) {
    return ApiError.from(error);
  },
};

export const client = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin" });
client.use(session, past, errors);

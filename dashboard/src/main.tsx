// Starts the dashboard: the cache of what was read, the router, and what happens when a session ends.
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiError } from "./api/error.ts";
import { makeRouter } from "./routes.tsx";
import { sessionQuery } from "./session/session.ts";
import { followSystem } from "./shell/theme.ts";
import { Toasts } from "./ui/Toast.tsx";
import "./styles.css";

/** A refusal stays one; a daemon that is not there or is busy is asked again, so often. */
const ATTEMPTS_MAX = 3;

const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError(error) {
      if (
        !(error instanceof ApiError) ||
        error.status !== 401 ||
        !queries.getQueryData(sessionQuery.queryKey)
      )
        return;
      // The session has ended. What was read stays until the page that shows it has gone.
      const { href, pathname } = router.state.location;
      if (pathname !== "/sign-in")
        void router.navigate({ to: "/sign-in", search: { to: href } }).then(() => queries.clear());
    },
  }),
  defaultOptions: {
    queries: {
      // Events say when something is old; see live/.
      staleTime: Number.POSITIVE_INFINITY,
      refetchOnWindowFocus: false,
      refetchOnReconnect: false,
      retry: (failures, error) =>
        failures < ATTEMPTS_MAX &&
        error instanceof ApiError &&
        (error.status === 0 || error.status >= 500 || error.status === 429),
      retryDelay: (failures, error) =>
        error instanceof ApiError && error.retryAfterSeconds
          ? error.retryAfterSeconds * 1000
          : 500 * 2 ** failures,
    },
  },
});
const router = makeRouter(queries);

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

followSystem();
const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <Toasts>
        <RouterProvider router={router} />
      </Toasts>
    </QueryClientProvider>
  </StrictMode>,
);

// Every page and its address: a line each. A page is loaded when it is first shown.
import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
  retainSearchParams,
} from "@tanstack/react-router";
import { ApiError } from "./api/error.ts";
import { texts } from "./search.ts";
import { sessionQuery } from "./session/session.ts";
import { NotFound, PageFailed } from "./shell/Failed.tsx";
import { Shell } from "./shell/Shell.tsx";
import { SkeletonRows } from "./ui/States.tsx";

const root = createRootRouteWithContext<{ queries: QueryClient }>()({
  validateSearch: texts("at"),
  search: { middlewares: [retainSearchParams(["at"])] },
  component: Outlet,
  errorComponent: PageFailed,
  notFoundComponent: NotFound,
});

// Pages for somebody who is not signed in.
const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: texts("to"),
  component: lazyRouteComponent(() => import("./session/SignIn.tsx")),
});
const setup = createRoute({
  getParentRoute: () => root,
  path: "/setup",
  component: lazyRouteComponent(() => import("./session/Setup.tsx")),
});
const register = createRoute({
  getParentRoute: () => root,
  path: "/register",
  component: lazyRouteComponent(() => import("./session/Register.tsx")),
});

// All others, inside the shell.
const shell = createRoute({
  getParentRoute: () => root,
  id: "shell",
  component: Shell,
  async beforeLoad({ context, location }) {
    try {
      await context.queries.ensureQueryData(sessionQuery);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      throw redirect({ to: "/sign-in", search: { to: location.href } });
    }
  },
});
const home = createRoute({
  getParentRoute: () => shell,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/projects" });
  },
});
const projects = createRoute({
  getParentRoute: () => shell,
  path: "/projects",
  validateSearch: texts("q"),
  component: lazyRouteComponent(() => import("./projects/ProjectsPage.tsx")),
});
const project = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id",
  component: lazyRouteComponent(() => import("./projects/OverviewPage.tsx")),
});
const jobs = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/jobs",
  validateSearch: texts("state", "type", "label", "agent"),
  component: lazyRouteComponent(() => import("./jobs/JobsPage.tsx")),
});
const job = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/jobs/$job",
  validateSearch: texts("attempt"),
  component: lazyRouteComponent(() => import("./jobs/JobPage.tsx")),
});
const artifacts = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/artifacts",
  component: lazyRouteComponent(() => import("./artifacts/ArtifactsPage.tsx")),
});
const files = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/files",
  validateSearch: texts("ref", "path", "q"),
  component: lazyRouteComponent(() => import("./code/FilesPage.tsx")),
});

const history = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/history",
  validateSearch: texts("about", "actor"),
  component: lazyRouteComponent(() => import("./history/HistoryPage.tsx")),
});
const commit = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/history/$oid",
  component: lazyRouteComponent(() => import("./history/CommitPage.tsx")),
});
const compare = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/compare",
  validateSearch: texts("from", "to"),
  component: lazyRouteComponent(() => import("./history/ComparePage.tsx")),
});
const schedules = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/schedules",
  component: lazyRouteComponent(() => import("./schedules/SchedulesPage.tsx")),
});
const webhooks = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/webhooks",
  component: lazyRouteComponent(() => import("./webhooks/WebhooksPage.tsx")),
});
const webhook = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/webhooks/$webhookId",
  component: lazyRouteComponent(() => import("./webhooks/WebhookPage.tsx")),
});
const agents = createRoute({
  getParentRoute: () => shell,
  path: "/agents",
  component: lazyRouteComponent(() => import("./agents/AgentsPage.tsx")),
});
const health = createRoute({
  getParentRoute: () => shell,
  path: "/health",
  component: lazyRouteComponent(() => import("./health/HealthPage.tsx")),
});

const chats = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/chats",
  validateSearch: texts("q"),
  component: lazyRouteComponent(() => import("./chats/ChatsPage.tsx")),
});
const newChat = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/chats/new",
  component: lazyRouteComponent(() => import("./chats/NewChatPage.tsx")),
});
const chat = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/chats/$chatId",
  component: lazyRouteComponent(() => import("./chats/ChatPage.tsx")),
});
const secrets = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/secrets",
  component: lazyRouteComponent(() => import("./secrets/SecretsPage.tsx")),
});
const settings = createRoute({
  getParentRoute: () => shell,
  path: "/projects/$id/settings",
  component: lazyRouteComponent(() => import("./settings/SettingsPage.tsx")),
});
const platformSecrets = createRoute({
  getParentRoute: () => shell,
  path: "/secrets",
  component: lazyRouteComponent(() => import("./secrets/PlatformSecretsPage.tsx")),
});
const people = createRoute({
  getParentRoute: () => shell,
  path: "/people",
  component: lazyRouteComponent(() => import("./people/PeoplePage.tsx")),
});
const keys = createRoute({
  getParentRoute: () => shell,
  path: "/keys",
  component: lazyRouteComponent(() => import("./people/KeysPage.tsx")),
});
const trash = createRoute({
  getParentRoute: () => shell,
  path: "/trash",
  component: lazyRouteComponent(() => import("./settings/TrashPage.tsx")),
});

const work = [jobs, job, artifacts, files] as const;
const talk = [chats, newChat, chat] as const;
const rules = [secrets, settings, platformSecrets, people, keys, trash] as const;
const past = [history, commit, compare] as const;
const upkeep = [schedules, webhooks, webhook, agents, health] as const;
const pages = [home, projects, project, ...work, ...talk, ...rules, ...past, ...upkeep] as const;
const tree = root.addChildren([signIn, setup, register, shell.addChildren(pages)]);

export function makeRouter(queries: QueryClient) {
  return createRouter({
    routeTree: tree,
    basepath: "/ui",
    context: { queries },
    defaultPreload: "intent",
    defaultPendingComponent: SkeletonRows,
    defaultErrorComponent: PageFailed,
    defaultNotFoundComponent: NotFound,
    // Plain text in the address: `?at=123` is the text 123, as the API reads it.
    parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
    stringifySearch: (search) => {
      const pairs = Object.entries(search).filter(([, value]) => typeof value === "string" && value !== "");
      const text = new URLSearchParams(pairs as [string, string][]).toString();
      return text ? `?${text}` : "";
    },
  });
}

// What a commit is about, in words and marks: kinds of things, who did it, and what became of a thing.
import {
  Bot,
  Braces,
  CalendarClock,
  CircleUserRound,
  File,
  FileArchive,
  FolderGit2,
  KeyRound,
  ListChecks,
  type LucideIcon,
  MessageSquare,
  MessageSquareQuote,
  Server,
  Webhook,
} from "lucide-react";
import type { Schemas } from "../api/read.ts";
import { Badge, type Tone } from "../ui/Badge.tsx";

const KINDS: Record<string, LucideIcon> = {
  job: ListChecks,
  chat: MessageSquare,
  prompt: MessageSquareQuote,
  schedule: CalendarClock,
  artifact: FileArchive,
  webhook: Webhook,
  secret: KeyRound,
  project: FolderGit2,
  code: Braces,
};

export function KindIcon({ kind }: { kind: string }) {
  const Icon = KINDS[kind] ?? File;
  return <Icon size={15} aria-hidden className="shrink-0 text-muted" />;
}

/** What a commit says, for a glance: ids by their last characters. */
export function glance(subject: string): string {
  return subject
    .replace(/\b((job|chat|art|hook)-)[0-9a-z]{20}([0-9a-z]{6})\b/g, "$1…$3")
    .replace(/^(job|chat) (?=\1-)/, "")
    .replaceAll(" -> ", " → ");
}

/** `agent builder-1`, `user anna`, `daemon`. */
export function ActorMark({ actor }: { actor: string }) {
  const Icon = actor.startsWith("agent ") ? Bot : actor.startsWith("daemon") ? Server : CircleUserRound;
  return (
    <span className="inline-flex min-w-0 items-center gap-1.5">
      <Icon size={13} aria-hidden className="shrink-0" />
      <span className="truncate">{actor.replace(/^(\S+) \1$/, "$1")}</span>
    </span>
  );
}

const CHANGES: Record<Schemas["FileChangeKind"], Tone> = { added: "good", changed: "busy", removed: "bad" };

export function ChangeBadge({ change }: { change: Schemas["FileChangeKind"] }) {
  return <Badge tone={CHANGES[change]}>{change}</Badge>;
}

/** Kinds of things that can be put back; `docs/history.md` says how each comes back. */
const PUT_BACK = ["job", "chat", "prompt", "schedule", "artifact", "webhook"];

/** How the API names a thing that is to be put back; null if it cannot be. */
export function nameOf({ kind, id }: Schemas["EntityChange"]): { id: string } | { path: string } | null {
  if (!PUT_BACK.includes(kind)) return null;
  if (kind === "prompt") return { id: "prompt" };
  if (!id) return null;
  return kind === "schedule" ? { path: `schedules/${id}.yaml` } : { id };
}

/** What history is asked about, for all that happened to a thing. */
export function aboutOf({ kind, id }: Schemas["EntityChange"]): string | null {
  if (kind === "schedule") return `schedules/${id}.yaml`;
  if (kind === "project") return "project.yaml";
  if (kind === "prompt") return "chats/prompt.yaml";
  return ["job", "chat", "artifact", "webhook", "file"].includes(kind) ? (id ?? null) : null;
}

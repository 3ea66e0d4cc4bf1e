// The places of the sidebar, a line each; `keys` is typed to go there, and shown in the help.
import {
  Activity,
  Bot,
  CalendarClock,
  FileCode,
  FolderGit2,
  History,
  House,
  KeyRound,
  ListChecks,
  LockKeyhole,
  type LucideIcon,
  MessagesSquare,
  Package,
  Settings,
  Trash2,
  Users,
  Webhook,
} from "lucide-react";

export interface Place {
  to:
    | "/projects"
    | "/projects/$id"
    | "/projects/$id/jobs"
    | "/projects/$id/artifacts"
    | "/projects/$id/files"
    | "/projects/$id/history"
    | "/projects/$id/schedules"
    | "/projects/$id/webhooks"
    | "/agents"
    | "/health"
    | "/people"
    | "/secrets"
    | "/keys"
    | "/trash"
    | "/projects/$id/chats"
    | "/projects/$id/secrets"
    | "/projects/$id/settings";
  label: string;
  icon: LucideIcon;
  keys: string;
  /** Only for admins of the platform. */
  isAdmin?: boolean;
}

export const PLATFORM: readonly Place[] = [
  { to: "/projects", label: "Projects", icon: FolderGit2, keys: "g p" },
  { to: "/agents", label: "Agents", icon: Bot, keys: "g m", isAdmin: true },
  { to: "/health", label: "Health", icon: Activity, keys: "g v", isAdmin: true },
  { to: "/people", label: "People", icon: Users, keys: "g u", isAdmin: true },
  { to: "/secrets", label: "Default secrets", icon: LockKeyhole, keys: "g d", isAdmin: true },
  { to: "/keys", label: "API keys", icon: KeyRound, keys: "g y" },
  { to: "/trash", label: "Trash", icon: Trash2, keys: "g x" },
];

/** About one project: the one that is shown, or was last. */
export const PROJECT: readonly Place[] = [
  { to: "/projects/$id", label: "Overview", icon: House, keys: "g o" },
  { to: "/projects/$id/chats", label: "Chats", icon: MessagesSquare, keys: "g c" },
  { to: "/projects/$id/jobs", label: "Jobs", icon: ListChecks, keys: "g j" },
  { to: "/projects/$id/artifacts", label: "Artifacts", icon: Package, keys: "g b" },
  { to: "/projects/$id/files", label: "Files", icon: FileCode, keys: "g f" },
  { to: "/projects/$id/history", label: "History", icon: History, keys: "g h" },
  { to: "/projects/$id/schedules", label: "Schedules", icon: CalendarClock, keys: "g e" },
  { to: "/projects/$id/webhooks", label: "Webhooks", icon: Webhook, keys: "g w" },
  { to: "/projects/$id/secrets", label: "Secrets", icon: LockKeyhole, keys: "g k" },
  { to: "/projects/$id/settings", label: "Settings", icon: Settings, keys: "g t" },
];

// The places of the sidebar, a line each; `keys` is typed to go there, and shown in the help.
import { FileCode, FolderGit2, House, ListChecks, type LucideIcon, Package } from "lucide-react";

export interface Place {
  to:
    | "/projects"
    | "/projects/$id"
    | "/projects/$id/jobs"
    | "/projects/$id/artifacts"
    | "/projects/$id/files";
  label: string;
  icon: LucideIcon;
  keys: string;
  /** Only for admins of the platform. */
  isAdmin?: boolean;
}

export const PLATFORM: readonly Place[] = [
  { to: "/projects", label: "Projects", icon: FolderGit2, keys: "g p" },
];

/** About one project: the one that is shown, or was last. */
export const PROJECT: readonly Place[] = [
  { to: "/projects/$id", label: "Overview", icon: House, keys: "g o" },
  { to: "/projects/$id/jobs", label: "Jobs", icon: ListChecks, keys: "g j" },
  { to: "/projects/$id/artifacts", label: "Artifacts", icon: Package, keys: "g b" },
  { to: "/projects/$id/files", label: "Files", icon: FileCode, keys: "g f" },
];

// What somebody can be on the platform.
import type { Schemas } from "../api/read.ts";

export const ROLES = [
  { value: "viewer", text: "Viewer" },
  { value: "developer", text: "Developer" },
  { value: "admin", text: "Admin" },
] as const satisfies { value: Schemas["Role"]; text: string }[];

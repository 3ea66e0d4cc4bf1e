// An artifact to be had: its name, which downloads it, and how large it is.
import { Download } from "lucide-react";
import type { Schemas } from "../api/read.ts";
import { size as bytes } from "../ui/bytes.ts";

export function contentOf(project: string, artifactId: string): string {
  return `/projects/${encodeURIComponent(project)}/artifacts/${encodeURIComponent(artifactId)}/content`;
}

export function ArtifactLink({ project, artifact }: { project: string; artifact: Schemas["Artifact"] }) {
  const { artifactId, name, drivePath, size } = artifact;
  return (
    <span className="flex items-center gap-2">
      {drivePath ? (
        <span className="min-w-0 flex-1 truncate" title={drivePath}>
          {name}
        </span>
      ) : (
        <a
          href={contentOf(project, artifactId)}
          download={name}
          className="flex min-w-0 flex-1 items-center gap-1.5 text-accent hover:underline"
        >
          <Download size={13} aria-hidden className="shrink-0" />
          <span className="truncate">{name}</span>
        </a>
      )}
      <span className="shrink-0 text-xs text-muted">{typeof size === "number" && bytes(size)}</span>
    </span>
  );
}

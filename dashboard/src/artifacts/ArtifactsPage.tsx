// The artifacts of a project, the newest first, and how long they are kept.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { Archive, Download, Package, Trash2 } from "lucide-react";
import { useCallback, useState } from "react";
import { client } from "../api/client.ts";
import { reading, readingPages, type Schemas } from "../api/read.ts";
import { useMayWrite } from "../jobs/JobActions.tsx";
import { hasRight, useIsNow, useSession } from "../session/session.ts";
import { Button, buttonClass, IconButton } from "../ui/Button.tsx";
import { size as bytes } from "../ui/bytes.ts";
import { CopyButton } from "../ui/Copy.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { useFailed, useToast } from "../ui/Toast.tsx";
import { VirtualList } from "../ui/VirtualList.tsx";
import { contentOf } from "./ArtifactLink.tsx";
import { kept, RetentionDialog } from "./Retention.tsx";

type Artifact = Schemas["Artifact"];
const PAGE = 100;
const ROW_HEIGHT = 60;

export default function ArtifactsPage() {
  const { id } = useParams({ from: "/shell/projects/$id/artifacts" });
  return (
    <>
      <PageHead title="Artifacts" of={id}>
        <Kept id={id} />
      </PageHead>
      <ArtifactList id={id} />
    </>
  );
}

/** How long artifacts are kept, and where that is changed. */
function Kept({ id }: { id: string }) {
  const [isOpen, setIsOpen] = useState(false);
  const { data } = useQuery(reading("/projects/{id}", { params: { path: { id } } }));
  const mayManage = hasRight(useSession(), data, "admin");
  const isNow = useIsNow();
  if (!data) return null;
  return (
    <>
      <span className="hidden text-xs text-muted sm:inline">{kept(data.retention)}</span>
      <Button disabled={!mayManage || !isNow} onClick={() => setIsOpen(true)}>
        <Archive size={14} aria-hidden />
        Retention
      </Button>
      <RetentionDialog project={data} isOpen={isOpen} onClose={() => setIsOpen(false)} />
    </>
  );
}

function ArtifactList({ id }: { id: string }) {
  const artifacts = useInfiniteQuery(
    readingPages("/projects/{id}/artifacts", { params: { path: { id }, query: { limit: PAGE } } }),
  );
  const [removing, setRemoving] = useState<Artifact | null>(null);
  const mayWrite = useMayWrite(id);
  const { fetchNextPage, hasNextPage } = artifacts;
  const more = useCallback(() => void fetchNextPage({ cancelRefetch: false }), [fetchNextPage]);
  if (artifacts.isPending) return <SkeletonRows />;
  if (artifacts.isError)
    return <ErrorNote error={artifacts.error} onRetry={() => void artifacts.refetch()} />;
  const all = artifacts.data.flatMap((page) => page.artifacts);
  if (all.length === 0) {
    return (
      <Empty icon={Package} title="No artifacts yet" command={`mrx artifacts upload ${id} app.tar.gz`}>
        Builds deliver the files that <code className="font-mono">artifacts:</code> in mrx.yaml names. Or
        upload one:
      </Empty>
    );
  }
  return (
    <>
      <VirtualList
        label="Artifacts"
        items={all}
        keyOf={(artifact) => artifact.artifactId}
        rowHeight={ROW_HEIGHT}
        onEnd={hasNextPage ? more : undefined}
      >
        {(artifact) => (
          <ArtifactRow
            id={id}
            artifact={artifact}
            onRemove={mayWrite ? () => setRemoving(artifact) : undefined}
          />
        )}
      </VirtualList>
      <Removal id={id} artifact={removing} onClose={() => setRemoving(null)} />
    </>
  );
}

interface RowProps {
  id: string;
  artifact: Artifact;
  /** Absent if one may not. */
  onRemove: (() => void) | undefined;
}

function ArtifactRow({ id, artifact, onRemove }: RowProps) {
  const { artifactId, name, sha256, size, jobId, buildNumber, drivePath } = artifact;
  return (
    <div className="flex h-full items-center gap-3 border-b border-line px-4">
      <Package size={16} aria-hidden className="hidden shrink-0 text-muted sm:block" />
      <span className="min-w-0 flex-1">
        <span className="block truncate font-medium" title={drivePath ?? name}>
          {name}
        </span>
        <span className="flex items-center gap-2 truncate text-xs text-muted">
          {typeof size === "number" && <span>{bytes(size)}</span>}
          {jobId ? (
            <Link
              to="/projects/$id/jobs/$job"
              params={{ id, job: jobId }}
              className="text-accent hover:underline"
            >
              build {buildNumber ?? jobId.slice(-6)}
            </Link>
          ) : (
            buildNumber && <span>build {buildNumber}</span>
          )}
          {drivePath && <span className="truncate">on {drivePath}</span>}
        </span>
      </span>
      <span className="hidden items-center text-xs text-muted md:flex" title={sha256}>
        <code className="font-mono">{sha256.slice(0, 12)}</code>
        <CopyButton text={sha256} label={`Copy the SHA-256 of ${name}`} />
      </span>
      <Time
        at={artifact.uploadedAt}
        className="hidden w-24 shrink-0 text-right text-xs text-muted sm:block"
      />
      {!drivePath && (
        <a
          href={contentOf(id, artifactId)}
          download={name}
          aria-label={`Download ${name}`}
          title="Download"
          className={buttonClass("quiet", "hover:bg-hover", "w-8")}
        >
          <Download size={15} aria-hidden />
        </a>
      )}
      <IconButton label={`Delete ${name}`} disabled={!onRemove} onClick={onRemove}>
        <Trash2 size={15} aria-hidden />
      </IconButton>
    </div>
  );
}

function Removal({ id, artifact, onClose }: { id: string; artifact: Artifact | null; onClose(): void }) {
  const queries = useQueryClient();
  const toast = useToast();
  const failed = useFailed();
  const remove = useMutation({
    mutationFn: ({ artifactId }: Artifact) =>
      client.DELETE("/projects/{id}/artifacts/{artifactId}", { params: { path: { id, artifactId } } }),
    onSuccess(_, { name }) {
      toast({ tone: "good", text: `${name} is deleted.` });
      void queries.invalidateQueries({ queryKey: ["/projects/{id}/artifacts"] });
    },
    onError: failed,
    onSettled: onClose,
  });
  return (
    <Confirm
      title={`Delete ${artifact?.name ?? ""}?`}
      deed="Delete it"
      isOpen={artifact !== null}
      isBusy={remove.isPending}
      onClose={onClose}
      onConfirm={() => artifact && remove.mutate(artifact)}
    >
      Its entry stays in the history. The bytes go within hours, unless another entry has the same.
    </Confirm>
  );
}

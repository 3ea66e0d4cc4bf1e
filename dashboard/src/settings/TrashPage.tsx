// The projects in the trash, to be restored.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Trash2 } from "lucide-react";
import { useCallback } from "react";
import { readingPages } from "../api/read.ts";
import { hasRight, useIsNow, useSession } from "../session/session.ts";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { VirtualList } from "../ui/VirtualList.tsx";
import { Restore } from "./Trash.tsx";

const PAGE = 200;
const ROW_HEIGHT = 56;

export default function TrashPage() {
  const me = useSession();
  const isNow = useIsNow();
  const projects = useInfiniteQuery(
    readingPages("/projects", { params: { query: { limit: PAGE, trashed: true } } }),
  );
  const { fetchNextPage, hasNextPage } = projects;
  const more = useCallback(() => void fetchNextPage({ cancelRefetch: false }), [fetchNextPage]);
  const all = projects.data?.flatMap((page) => page.projects) ?? [];
  return (
    <>
      <PageHead title="Trash" />
      {projects.isPending && <SkeletonRows />}
      {projects.isError && <ErrorNote error={projects.error} onRetry={() => void projects.refetch()} />}
      {projects.isSuccess && all.length === 0 && (
        <Empty icon={Trash2} title="The trash is empty">
          Projects that are put into it, in their settings, stay here for 30 days.
        </Empty>
      )}
      {all.length > 0 && (
        <VirtualList
          label="Projects in the trash"
          items={all}
          keyOf={(project) => project.projectId}
          rowHeight={ROW_HEIGHT}
          onEnd={hasNextPage ? more : undefined}
        >
          {(project) => (
            <div className="flex h-full items-center gap-4 border-b border-line px-4">
              <span className="min-w-0 flex-1">
                <Link
                  to="/projects/$id/settings"
                  params={{ id: project.projectId }}
                  className="block truncate font-medium hover:underline"
                >
                  {project.title ?? project.projectId}
                </Link>
                <span className="block truncate text-xs text-muted">
                  {project.trashedAt && <Time at={project.trashedAt} />}
                </span>
              </span>
              <Restore id={project.projectId} mayManage={isNow && hasRight(me, project, "admin")} />
            </div>
          )}
        </VirtualList>
      )}
    </>
  );
}

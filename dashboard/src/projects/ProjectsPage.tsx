// The projects that one may read: search, and how each stands.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { FolderGit2, Plus, SearchX } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import { readingPages, type Schemas } from "../api/read.ts";
import { useIsNow, useSession } from "../session/session.ts";
import { Button } from "../ui/Button.tsx";
import { inputClass } from "../ui/Field.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { VirtualList } from "../ui/VirtualList.tsx";
import { NewProject } from "./NewProject.tsx";
import { ProjectRow, ROW_HEIGHT } from "./ProjectRow.tsx";

const PAGE = 200;

export default function ProjectsPage() {
  const { q = "" } = useSearch({ from: "/shell/projects" });
  const navigate = useNavigate({ from: "/projects" });
  const [isMaking, setIsMaking] = useState(false);
  const { role } = useSession();
  const mayMake = useIsNow() && role !== "viewer";
  const search = (text: string) =>
    void navigate({ search: (now) => ({ ...now, q: text || undefined }), replace: true });
  return (
    <>
      <PageHead title="Projects">
        <input
          data-search
          type="search"
          aria-label="Search projects"
          placeholder="Search  /"
          className={`${inputClass} max-w-56`}
          value={q}
          onChange={(event) => search(event.target.value)}
        />
        <Button look="primary" disabled={!mayMake} onClick={() => setIsMaking(true)}>
          <Plus size={15} aria-hidden />
          New project
        </Button>
      </PageHead>
      <ProjectList q={q} />
      <NewProject isOpen={isMaking} onClose={() => setIsMaking(false)} />
    </>
  );
}

function ProjectList({ q }: { q: string }) {
  const projects = useInfiniteQuery(readingPages("/projects", { params: { query: { limit: PAGE } } }));
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = projects;
  // The search is over all of them.
  useEffect(() => {
    if (q && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [q, hasNextPage, isFetchingNextPage, fetchNextPage]);
  const more = useCallback(() => void fetchNextPage({ cancelRefetch: false }), [fetchNextPage]);
  if (projects.isPending) return <SkeletonRows />;
  if (projects.isError) return <ErrorNote error={projects.error} onRetry={() => void projects.refetch()} />;
  const all = projects.data.flatMap((page) => page.projects);
  const found = all.filter((project) => fits(project, q));
  if (all.length === 0) {
    return (
      <Empty
        icon={FolderGit2}
        title="No projects yet"
        command="mrx projects create mrx-hello --description 'A first project'"
      >
        A project is a repository and all that happens around it. Make one here, or with
      </Empty>
    );
  }
  if (found.length === 0 && !hasNextPage) return <Empty icon={SearchX} title={`No project is like “${q}”`} />;
  return (
    <VirtualList
      label="Projects"
      items={found}
      keyOf={(project) => project.projectId}
      rowHeight={ROW_HEIGHT}
      onEnd={hasNextPage ? more : undefined}
    >
      {(project) => <ProjectRow project={project} />}
    </VirtualList>
  );
}

function fits(project: Schemas["Project"], q: string): boolean {
  const text = `${project.projectId} ${project.title ?? ""} ${project.description ?? ""}`.toLowerCase();
  return q
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

// The files of a project's code at a ref: folder by folder, or all that a search fits.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { File, FileX, Folder, GitBranch } from "lucide-react";
import { Fragment, useEffect, useMemo } from "react";
import { readingPages } from "../api/read.ts";
import { size as bytes } from "../ui/bytes.ts";
import { CopyButton } from "../ui/Copy.tsx";
import { inputClass } from "../ui/Field.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { VirtualList } from "../ui/VirtualList.tsx";
import { type Entry, folder, found, shares } from "./tree.ts";

const PAGE = 200;
const ROW_HEIGHT = 36;

export default function FilesPage() {
  const { id } = useParams({ from: "/shell/projects/$id/files" });
  const { ref, path = "", q = "" } = useSearch({ from: "/shell/projects/$id/files" });
  const navigate = useNavigate({ from: "/projects/$id/files" });
  return (
    <>
      <PageHead title="Files" of={id}>
        <label className="flex items-center gap-1.5">
          <GitBranch size={14} aria-hidden className="text-muted" />
          <input
            key={ref}
            aria-label="Branch, tag or commit"
            placeholder="default branch"
            spellCheck={false}
            className={`${inputClass} max-w-40`}
            defaultValue={ref}
            onBlur={(event) => {
              const next = event.target.value.trim() || undefined;
              if (next !== ref) void navigate({ search: (now) => ({ at: now.at, ref: next }) });
            }}
            onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()}
          />
        </label>
        <input
          data-search
          type="search"
          aria-label="Search files"
          placeholder="Search  /"
          className={`${inputClass} max-w-44`}
          value={q}
          onChange={(event) =>
            void navigate({
              search: (now) => ({ ...now, q: event.target.value || undefined }),
              replace: true,
            })
          }
        />
      </PageHead>
      <Files key={ref} id={id} gitRef={ref} path={path} q={q} />
    </>
  );
}

interface Props {
  id: string;
  gitRef: string | undefined;
  path: string;
  q: string;
}

function Files({ id, gitRef, path, q }: Props) {
  const query = { limit: PAGE, ...(gitRef && { ref: gitRef }) };
  const pages = useInfiniteQuery(readingPages("/projects/{id}/files", { params: { path: { id }, query } }));
  const { hasNextPage, isFetchingNextPage, fetchNextPage, isError } = pages;
  // A folder's files can be on any page.
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && !isError) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage, isError]);
  const files = useMemo(() => pages.data?.flatMap((page) => page.files) ?? [], [pages.data]);
  const entries = useMemo(() => (q ? found(files, q) : folder(files, path)), [files, path, q]);
  if (pages.isPending) return <SkeletonRows />;
  if (pages.isError) return <ErrorNote error={pages.error} onRetry={() => void pages.refetch()} />;
  const { commit, count } = pages.data[0] ?? { commit: "", count: 0 };
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-4 py-1.5 text-xs text-muted">
        <Path path={q ? "" : path} root={id} />
        <span className="ml-auto">
          {hasNextPage ? `${files.length.toLocaleString()} of ` : ""}
          {count.toLocaleString()} {count === 1 ? "file" : "files"}
        </span>
        <span className="hidden sm:inline">{shares(files)}</span>
        <span className="flex items-center">
          <code className="font-mono">{commit.slice(0, 8)}</code>
          <CopyButton text={commit} label="Copy the commit" />
        </span>
      </div>
      {entries.length === 0 && !hasNextPage ? (
        <Empty icon={FileX} title={q ? `No file is like “${q}”` : "No files here"} />
      ) : (
        <VirtualList label="Files" items={entries} keyOf={(entry) => entry.path} rowHeight={ROW_HEIGHT}>
          {(entry) => <EntryRow entry={entry} isWhole={q !== ""} />}
        </VirtualList>
      )}
    </>
  );
}

/** The folder one is in, each part a link. */
function Path({ path, root }: { path: string; root: string }) {
  const parts = path.split("/").filter(Boolean);
  return (
    <nav aria-label="Folder" className="flex flex-wrap items-center gap-1 text-sm">
      <FolderLink path="">{root}</FolderLink>
      {parts.map((part, at) => (
        <Fragment key={parts.slice(0, at + 1).join("/")}>
          <span aria-hidden>/</span>
          <FolderLink path={parts.slice(0, at + 1).join("/")}>{part}</FolderLink>
        </Fragment>
      ))}
    </nav>
  );
}

function FolderLink({ path, children }: { path: string; children: string }) {
  return (
    <Link
      from="/projects/$id/files"
      search={(now) => ({ ...now, path: path || undefined, q: undefined })}
      className="text-accent hover:underline"
    >
      {children}
    </Link>
  );
}

function EntryRow({ entry, isWhole }: { entry: Entry; isWhole: boolean }) {
  const { path, name, isFolder, size, language, files } = entry;
  const Icon = isFolder ? Folder : File;
  return (
    <div className="flex h-full items-center gap-3 border-b border-line px-4">
      <Icon size={15} aria-hidden className={isFolder ? "shrink-0 text-accent" : "shrink-0 text-muted"} />
      <span className="min-w-0 flex-1 truncate">
        {isFolder ? <FolderLink path={path}>{name}</FolderLink> : isWhole ? path : name}
      </span>
      <span className="hidden w-28 truncate text-xs text-muted sm:block">
        {isFolder ? `${files.toLocaleString()} ${files === 1 ? "file" : "files"}` : language}
      </span>
      <span className="w-20 shrink-0 text-right text-xs text-muted">{bytes(size)}</span>
    </div>
  );
}

// The commits of a project's state, newest first and by day: who did what, and what it touched.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { GitCommitHorizontal, GitCompareArrows, History } from "lucide-react";
import { useCallback, useEffect, useMemo, useState } from "react";
import { readingPages, type Schemas } from "../api/read.ts";
import { Badge } from "../ui/Badge.tsx";
import { Button, buttonClass } from "../ui/Button.tsx";
import { inputClass } from "../ui/Field.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { clock, Time } from "../ui/Time.tsx";
import { VirtualList } from "../ui/VirtualList.tsx";
import { ActorMark, glance, KindIcon } from "./things.tsx";

type Commit = Schemas["CommitSummary"];
const PAGE = 100;
const ROW_HEIGHT = 52;
/** While commits are looked for by who made them, so many are read before somebody says to look on. */
const LOOKED_THROUGH = 1000;
/** So many commits of theirs fill the page. */
const FOUND_ENOUGH = 30;

export default function HistoryPage() {
  const { id } = useParams({ from: "/shell/projects/$id/history" });
  const { about, actor } = useSearch({ from: "/shell/projects/$id/history" });
  const navigate = useNavigate({ from: "/projects/$id/history" });
  const set = (name: "about" | "actor", value: string) =>
    void navigate({ search: (now) => ({ ...now, [name]: value.trim() || undefined }), replace: true });
  return (
    <>
      <PageHead title="History" of={id}>
        <Typed
          key={`about ${about ?? ""}`}
          isSearch
          name="Path or id"
          value={about}
          onChange={(value) => set("about", value)}
        />
        <Typed
          key={`actor ${actor ?? ""}`}
          name="Who"
          value={actor}
          onChange={(value) => set("actor", value)}
        />
        <Link to="/projects/$id/compare" params={{ id }} className={buttonClass()}>
          <GitCompareArrows size={15} aria-hidden />
          Compare
        </Link>
      </PageHead>
      <CommitList key={`${about} ${actor}`} id={id} about={about} actor={actor} />
    </>
  );
}

interface TypedProps {
  name: string;
  value: string | undefined;
  isSearch?: boolean;
  onChange(value: string): void;
}

/** A filter that is typed whole before it counts. */
function Typed({ name, value, isSearch, onChange }: TypedProps) {
  return (
    <input
      data-search={isSearch || undefined}
      aria-label={name}
      placeholder={isSearch ? `${name}  /` : name}
      spellCheck={false}
      className={`${inputClass} max-w-36 sm:max-w-44`}
      defaultValue={value}
      onBlur={(event) => event.target.value.trim() !== (value ?? "") && onChange(event.target.value)}
      onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()}
    />
  );
}

interface ListProps {
  id: string;
  about: string | undefined;
  actor: string | undefined;
}

function CommitList({ id, about, actor }: ListProps) {
  const init = { params: { path: { id }, query: { limit: PAGE, ...(about && { about }) } } };
  const history = useInfiniteQuery(readingPages("/projects/{id}/history", init));
  const [lookedMax, setLookedMax] = useState(LOOKED_THROUGH);
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = history;
  const all = useMemo(() => history.data?.flatMap((page) => page.commits) ?? [], [history.data]);
  const found = useMemo(() => all.filter((commit) => isBy(commit, actor)), [all, actor]);
  const isLooking = Boolean(actor) && hasNextPage && found.length < FOUND_ENOUGH && all.length < lookedMax;
  useEffect(() => {
    if (isLooking && !isFetchingNextPage) void fetchNextPage();
  }, [isLooking, isFetchingNextPage, fetchNextPage]);
  const more = useCallback(() => void fetchNextPage({ cancelRefetch: false }), [fetchNextPage]);
  const rows = useMemo(() => byDay(found), [found]);
  if (history.isPending) return <SkeletonRows />;
  if (history.isError) return <ErrorNote error={history.error} onRetry={() => void history.refetch()} />;
  if (found.length === 0 && !isLooking) {
    return (
      <Empty
        icon={History}
        title={about || actor ? "No commit is like that" : "Nothing has happened yet"}
        command={about || actor ? "" : `mrx jobs create ${id} --type build --follow`}
        action={
          hasNextPage && (
            <Button onClick={() => setLookedMax(all.length + LOOKED_THROUGH)}>
              Look further back than {all.length} commits
            </Button>
          )
        }
      >
        {about || actor ? null : "Every change is a commit, and shows here. Make the first one:"}
      </Empty>
    );
  }
  return (
    <VirtualList
      label="Commits"
      items={rows}
      keyOf={(row) => (typeof row === "string" ? row : row.commit)}
      rowHeight={ROW_HEIGHT}
      onEnd={hasNextPage && (!actor || all.length < lookedMax) ? more : undefined}
    >
      {(row) => (typeof row === "string" ? <Day day={row} /> : <CommitRow id={id} commit={row} />)}
    </VirtualList>
  );
}

function isBy(commit: Commit, actor: string | undefined): boolean {
  return !actor || commit.actor.toLowerCase().includes(actor.toLowerCase());
}

const dayOf = new Intl.DateTimeFormat(undefined, {
  weekday: "long",
  day: "numeric",
  month: "long",
  year: "numeric",
});

/** The commits with each day before those of it. */
function byDay(commits: readonly Commit[]): (string | Commit)[] {
  const rows: (string | Commit)[] = [];
  let last = "";
  for (const commit of commits) {
    const day = dayOf.format(new Date(commit.time));
    if (day !== last) rows.push(day);
    last = day;
    rows.push(commit);
  }
  return rows;
}

function Day({ day }: { day: string }) {
  return (
    <h2 className="flex h-full items-end border-b border-line bg-ground px-4 pb-1.5 text-xs font-medium text-muted">
      {day}
    </h2>
  );
}

/** Things named in a row; the commit's own page has all. */
const NAMED_MAX = 2;

function CommitRow({ id, commit }: { id: string; commit: Commit }) {
  const { at } = useSearch({ strict: false });
  const more = commit.entities.length - NAMED_MAX;
  return (
    <Link
      to="/projects/$id/history/$oid"
      params={{ id, oid: commit.commit }}
      className="flex h-full items-center gap-3 border-b border-line bg-panel px-4 hover:bg-hover focus-visible:outline-offset-[-2px]"
    >
      <GitCommitHorizontal size={16} aria-hidden className="shrink-0 text-muted" />
      <span className="min-w-0 flex-1">
        <span className="flex items-center gap-2">
          <span className="truncate" title={commit.subject}>
            {glance(commit.subject)}
          </span>
          {at === commit.commit && <Badge tone="warn">shown now</Badge>}
        </span>
        <span className="flex items-center gap-3 text-xs text-muted">
          <ActorMark actor={commit.actor} />
          <code className="font-mono">{commit.commit.slice(0, 8)}</code>
        </span>
      </span>
      <span className="hidden max-w-72 items-center gap-3 overflow-hidden text-xs text-muted lg:flex">
        {commit.entities.slice(0, NAMED_MAX).map((entity) => (
          <span
            key={`${entity.kind} ${entity.id}`}
            className="inline-flex items-center gap-1 whitespace-nowrap"
          >
            <KindIcon kind={entity.kind} />
            {entity.kind} {entity.change}
          </span>
        ))}
        {more > 0 && <span>+{more}</span>}
      </span>
      <span className="w-20 shrink-0 text-right text-xs text-muted">
        <Time at={commit.time} className="block" />
        {clock(commit.time)}
      </span>
    </Link>
  );
}

// One commit: who did what and when, and what it changed, field by field.
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { Eye, FileQuestion, GitCompareArrows, GitFork } from "lucide-react";
import { useState } from "react";
import { reading, type Schemas } from "../api/read.ts";
import { useMay } from "../session/manage.ts";
import { useIsNow, useSession } from "../session/session.ts";
import { Button, buttonClass } from "../ui/Button.tsx";
import { CopyButton } from "../ui/Copy.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { exactly } from "../ui/Time.tsx";
import { Changes } from "./Changes.tsx";
import { Fork } from "./Fork.tsx";
import { PutBack } from "./PutBack.tsx";
import { ActorMark, glance } from "./things.tsx";

export default function CommitPage() {
  const { id, oid } = useParams({ from: "/shell/projects/$id/history/$oid" });
  const commit = useQuery(reading("/projects/{id}/commits/{oid}", { params: { path: { id, oid } } }));
  const [wanted, setWanted] = useState<Schemas["EntityDiff"] | null>(null);
  const [isForking, setIsForking] = useState(false);
  const { role } = useSession();
  const mayFork = useIsNow() && role !== "viewer";
  const mayManage = useMay("admin", id);
  if (commit.isPending) return <SkeletonRows />;
  if (commit.isError) return <ErrorNote error={commit.error} onRetry={() => void commit.refetch()} />;
  return (
    <>
      <PageHead title={`Commit ${oid.slice(0, 8)}`} of={id}>
        <Button disabled={!mayFork} onClick={() => setIsForking(true)}>
          <GitFork size={15} aria-hidden />
          Fork…
        </Button>
        <Link to="/projects/$id/compare" params={{ id }} search={{ from: oid }} className={buttonClass()}>
          <GitCompareArrows size={15} aria-hidden />
          Compare with now
        </Link>
        <Link to="/projects/$id" params={{ id }} search={{ at: oid }} className={buttonClass("primary")}>
          <Eye size={15} aria-hidden />
          View the project at this commit
        </Link>
      </PageHead>
      <div className="min-h-0 flex-1 overflow-y-auto">
        <div className="mx-auto flex max-w-5xl flex-col gap-4 p-4">
          <About commit={commit.data} />
          {commit.data.entities.length === 0 && (
            <Empty icon={FileQuestion} title="It changed no file">
              It only says what has happened.
            </Empty>
          )}
          <Changes
            project={id}
            entities={commit.data.entities}
            files={commit.data.files}
            isCut={commit.data.isCut}
            onPutBack={setWanted}
            mayPutBack={mayManage}
          />
        </div>
      </div>
      {isForking && <Fork project={id} oid={oid} onClose={() => setIsForking(false)} />}
      {wanted && <PutBack project={id} entity={wanted} oid={oid} onClose={() => setWanted(null)} />}
    </>
  );
}

function About({ commit }: { commit: Schemas["CommitView"] }) {
  return (
    <div className="rounded-lg border border-line bg-panel px-4 py-3">
      <p className="font-medium break-words">{glance(commit.subject)}</p>
      <div className="mt-1.5 flex flex-wrap items-center gap-x-4 gap-y-1 text-xs text-muted">
        <ActorMark actor={commit.actor} />
        <time dateTime={commit.time}>{exactly(commit.time)}</time>
        <code className="font-mono">{commit.event}</code>
        <span className="inline-flex min-w-0 items-center">
          <code className="truncate font-mono">{commit.commit}</code>
          <CopyButton text={commit.commit} label="Copy the commit" />
        </span>
      </div>
    </div>
  );
}

// What differs between two moments of a project.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Equal, GitCompareArrows } from "lucide-react";
import { type FormEvent, useState } from "react";
import { reading } from "../api/read.ts";
import { Button } from "../ui/Button.tsx";
import { inputClass } from "../ui/Field.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { exactly } from "../ui/Time.tsx";
import { Changes } from "./Changes.tsx";
import { asMoment, asTyped, isCommit } from "./moment.ts";

export default function ComparePage() {
  const { id } = useParams({ from: "/shell/projects/$id/compare" });
  const { from, to } = useSearch({ from: "/shell/projects/$id/compare" });
  return (
    <>
      <PageHead title="Compare" of={id} />
      <div className="min-h-0 flex-1 overflow-y-auto">
        <div className="mx-auto flex max-w-5xl flex-col gap-4 p-4">
          <Moments key={`${from} ${to}`} from={from} to={to} />
          {from ? (
            <Difference id={id} from={from} to={to} />
          ) : (
            <Empty icon={GitCompareArrows} title="Choose two moments">
              A time, or a commit of this project's state. Without a second one it is compared with now.
            </Empty>
          )}
        </div>
      </div>
    </>
  );
}

interface Two {
  from: string | undefined;
  to: string | undefined;
}

function Moments({ from, to }: Two) {
  const navigate = useNavigate({ from: "/projects/$id/compare" });
  const [typed, setTyped] = useState({ from: asTyped(from), to: asTyped(to) });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const next = { from: asMoment(typed.from), to: asMoment(typed.to) };
    void navigate({ search: (now) => ({ ...now, from: next.from, to: next.to }) });
  };
  return (
    <form className="flex flex-wrap items-end gap-3" onSubmit={submit}>
      {(["from", "to"] as const).map((name) => (
        <label key={name} className="flex min-w-52 flex-1 flex-col gap-1 font-medium">
          {name === "from" ? "From" : "To"}
          <input
            className={`${inputClass} font-normal`}
            spellCheck={false}
            required={name === "from"}
            placeholder={name === "from" ? "2026-11-20 18:30, or a commit" : "now"}
            value={typed[name]}
            onChange={(event) => setTyped({ ...typed, [name]: event.target.value })}
          />
        </label>
      ))}
      <Button type="submit" look="primary">
        Compare
      </Button>
    </form>
  );
}

function Difference({ id, from, to }: { id: string; from: string; to: string | undefined }) {
  const query = { from, ...(to && { to }) };
  const diff = useQuery(reading("/projects/{id}/diff", { params: { path: { id }, query } }));
  if (diff.isPending) return <SkeletonRows rows={4} />;
  if (diff.isError) return <ErrorNote error={diff.error} onRetry={() => void diff.refetch()} />;
  const { entities, files, isCut } = diff.data;
  return (
    <>
      <p className="text-muted">
        {entities.length === 1 ? "1 thing differs" : `${entities.length} things differ`} between{" "}
        <Word moment={from} commit={diff.data.from} /> and{" "}
        {to ? <Word moment={to} commit={diff.data.to} /> : "now"}.
      </p>
      {entities.length === 0 && <Empty icon={Equal} title="Nothing differs" />}
      <Changes project={id} entities={entities} files={files} isCut={isCut} />
    </>
  );
}

function Word({ moment, commit }: { moment: string; commit: string }) {
  return (
    <>
      {!isCommit(moment) && `${exactly(moment)}, `}
      <code className="font-mono text-xs">{commit.slice(0, 8)}</code>
    </>
  );
}

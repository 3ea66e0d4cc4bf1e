// "As of": shows every page as the state was at a moment, and says so for as long as it does.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { History } from "lucide-react";
import { type FormEvent, useState } from "react";
import { reading } from "../api/read.ts";
import { isCommit, local } from "../history/moment.ts";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { exactly } from "../ui/Time.tsx";
import { useCurrentProject } from "./current-project.ts";

/** The moment in the address, a commit or a time, and how to choose another: `null` is now. */
export function useAsOf(): [at: string | null, show: (at: string | null) => void] {
  const { at } = useSearch({ strict: false });
  const navigate = useNavigate();
  const show = (next: string | null) => {
    void navigate({ to: ".", search: (now) => ({ ...now, at: next ?? undefined }) });
  };
  return [at ?? null, show];
}

const HOUR_MS = 3_600_000;
/** Moments that are often looked back to. */
const RECENT = [
  { text: "An hour ago", ms: HOUR_MS },
  { text: "Yesterday", ms: 24 * HOUR_MS },
  { text: "A week ago", ms: 7 * 24 * HOUR_MS },
];

export function AsOfSwitch() {
  const [at, show] = useAsOf();
  const [isOpen, setIsOpen] = useState(false);
  const go = (next: string | null) => {
    setIsOpen(false);
    show(next);
  };
  return (
    <>
      <Button
        look="quiet"
        onClick={() => setIsOpen(true)}
        aria-label={at ? `As of ${told(at)}` : "As of now; show an earlier commit"}
      >
        <History size={15} aria-hidden />
        <span className="hidden sm:inline">{at ? told(at) : "Now"}</span>
      </Button>
      <Dialog title="Show an earlier moment" isOpen={isOpen} onClose={() => setIsOpen(false)}>
        <Choose at={at} onChoose={go} />
      </Dialog>
    </>
  );
}

function told(at: string): string {
  return isCommit(at) ? at.slice(0, 8) : local(new Date(at)).slice(0, 16) || at;
}

function Choose({ at, onChoose }: { at: string | null; onChoose(at: string | null): void }) {
  const isTime = at !== null && !isCommit(at);
  const [time, setTime] = useState(isTime ? local(new Date(at)).replace(" ", "T") : "");
  const [commit, setCommit] = useState(isTime ? "" : (at ?? ""));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const moment = commit.trim() || (time && new Date(time).toISOString());
    onChoose(moment || null);
  };
  return (
    <form className="flex flex-col gap-4" onSubmit={submit}>
      <p className="text-muted">Every page then shows what was so, and nothing can be changed.</p>
      <div className="flex flex-wrap gap-2">
        {RECENT.map(({ text, ms }) => (
          <Button key={text} onClick={() => onChoose(new Date(Date.now() - ms).toISOString())}>
            {text}
          </Button>
        ))}
      </div>
      <Field
        label="Date and time"
        hint="In your own time zone."
        type="datetime-local"
        step={1}
        autoFocus
        value={time}
        onChange={(event) => {
          setTime(event.target.value);
          setCommit("");
        }}
      />
      <Field
        label="Commit of the project's state"
        hint="As the project's history lists them."
        placeholder="3f2a91c4…"
        spellCheck={false}
        value={commit}
        onChange={(event) => setCommit(event.target.value)}
      />
      <div className="flex justify-end gap-2">
        {at && <Button onClick={() => onChoose(null)}>Return to now</Button>}
        <Button type="submit" look="primary">
          Show it
        </Button>
      </div>
    </form>
  );
}

export function AsOfBanner() {
  const [at, show] = useAsOf();
  if (!at) return null;
  return (
    <div
      role="status"
      className="flex items-center gap-3 border-b border-line bg-warn-soft px-4 py-1.5 text-warn"
    >
      <History size={15} aria-hidden className="shrink-0" />
      <span className="line-clamp-2 min-w-0 flex-1">
        The state as of {isCommit(at) ? <OfCommit oid={at} /> : exactly(at)}; it cannot be changed.
      </span>
      <Button onClick={() => show(null)}>Return to now</Button>
    </div>
  );
}

/** A commit is told by its time and what it says, if it is of the project that is shown. */
function OfCommit({ oid }: { oid: string }) {
  const id = useCurrentProject();
  const commit = useQuery({
    ...reading("/projects/{id}/commits/{oid}", { params: { path: { id: id ?? "", oid } } }),
    enabled: id !== null,
  });
  const name = <code className="font-mono">{oid.slice(0, 12)}</code>;
  if (!id || !commit.data) return <>commit {name}</>;
  return (
    <>
      {exactly(commit.data.time)}, commit{" "}
      <Link
        to="/projects/$id/history/$oid"
        params={{ id, oid }}
        className="underline"
        title={commit.data.subject}
      >
        {name}
      </Link>
    </>
  );
}

// What differs, thing by thing and field by field.

import { Link } from "@tanstack/react-router";
import clsx from "clsx";
import { History, Undo2 } from "lucide-react";
import { useState } from "react";
import type { Schemas } from "../api/read.ts";
import { Button } from "../ui/Button.tsx";
import { differing, type Line, linesOf, SHOWN_MAX, withoutFar } from "./lines.ts";
import { aboutOf, ChangeBadge, KindIcon, nameOf } from "./things.tsx";

interface Props {
  project?: string;
  entities: readonly Schemas["EntityDiff"][];
  files: readonly Schemas["FileDiff"][];
  isCut?: boolean;
  onPutBack?: ((entity: Schemas["EntityDiff"]) => void) | undefined;
  mayPutBack?: boolean;
}

export function Changes({ project, entities, files, isCut, onPutBack, mayPutBack }: Props) {
  return (
    <div className="flex flex-col gap-4">
      {entities.map((entity) => (
        <section
          key={`${entity.kind} ${entity.id}`}
          aria-label={`${entity.kind} ${entity.id ?? ""}`}
          className="overflow-hidden rounded-lg border border-line bg-panel"
        >
          <div className="flex flex-wrap items-center gap-x-2 gap-y-1 border-b border-line px-4 py-2">
            <KindIcon kind={entity.kind} />
            <h3 className="flex min-w-0 items-baseline gap-2 font-medium">
              {entity.kind}
              {entity.id && (
                <code className="truncate font-mono text-xs font-normal text-muted">{entity.id}</code>
              )}
            </h3>
            <ChangeBadge change={entity.change} />
            <span className="flex-1" />
            <AllOf project={project} entity={entity} />
            {onPutBack && nameOf(entity) && (
              <Button disabled={!mayPutBack} onClick={() => onPutBack(entity)}>
                <Undo2 size={14} aria-hidden />
                Put back…
              </Button>
            )}
          </div>
          <Fields fields={entity.fields} />
        </section>
      ))}
      <Files files={files} />
      {isCut && <p className="text-muted">There is more than is shown here: at most 300 files and 4 MiB.</p>}
    </div>
  );
}

function AllOf({ project, entity }: { project: string | undefined; entity: Schemas["EntityDiff"] }) {
  const about = aboutOf(entity);
  if (!project || !about) return null;
  return (
    <Link
      to="/projects/$id/history"
      params={{ id: project }}
      search={{ about }}
      className="inline-flex items-center gap-1.5 px-2 text-muted hover:text-text hover:underline"
    >
      <History size={14} aria-hidden />
      All of it
    </Link>
  );
}

function Fields({ fields }: { fields: readonly Schemas["FieldDiff"][] }) {
  if (fields.length === 0) return <p className="px-4 py-3 text-muted">No field of it is shown.</p>;
  return (
    <dl className="divide-y divide-line">
      {fields.map((field, index) => (
        <div
          // biome-ignore lint/suspicious/noArrayIndexKey: a field of two files of a chat has one name
          key={`${field.field} ${index}`}
          className="grid gap-x-4 gap-y-1 px-4 py-2 sm:grid-cols-[11rem_1fr]"
        >
          <dt className="font-mono text-xs leading-5 break-words text-muted">{field.field}</dt>
          <dd className="min-w-0">
            <Values from={field.from} to={field.to} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** A value of one line this long at most is shown beside the other. */
const SHORT = 90;

function Values({ from, to }: { from: unknown; to: unknown }) {
  const [old, now] = [linesOf(from), linesOf(to)];
  const isShort = [old, now].every((lines) => lines.length <= 1 && (lines[0] ?? "").length <= SHORT);
  if (!isShort) return <Lines lines={withoutFar(differing(old, now))} />;
  return (
    <span className="flex flex-wrap items-center gap-x-2 gap-y-1 font-mono text-xs">
      {old.length > 0 && (
        <del className="rounded bg-bad-soft px-1.5 leading-5 break-all text-bad">{old[0] || '""'}</del>
      )}
      {old.length > 0 && now.length > 0 && (
        <span aria-hidden className="text-muted">
          →
        </span>
      )}
      {now.length > 0 && (
        <ins className="rounded bg-good-soft px-1.5 leading-5 break-all text-good no-underline">
          {now[0] || '""'}
        </ins>
      )}
    </span>
  );
}

const MARKS = { same: " ", removed: "−", added: "+", gap: " " };

function Lines({ lines }: { lines: readonly Line[] }) {
  const [isAll, setIsAll] = useState(false);
  const shown = isAll ? lines.slice(0, SHOWN_MAX) : lines.slice(0, 24);
  return (
    <div className="overflow-hidden rounded-md border border-line">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: long lines are scrolled by keyboard */}
      <div className="overflow-x-auto bg-code py-1 font-mono text-xs leading-5" tabIndex={0}>
        <div className="w-max min-w-full">
          {shown.map((line, index) => (
            <div
              // biome-ignore lint/suspicious/noArrayIndexKey: lines are told apart by their place alone
              key={index}
              className={clsx(
                "px-2 whitespace-pre",
                line.kind === "removed" && "bg-bad-soft text-bad",
                line.kind === "added" && "bg-good-soft text-good",
                line.kind === "gap" && "text-muted",
              )}
            >
              <span aria-hidden className="mr-2 select-none">
                {MARKS[line.kind]}
              </span>
              {line.kind !== "same" && line.kind !== "gap" && <span className="sr-only">{line.kind}: </span>}
              {line.text}
            </div>
          ))}
        </div>
      </div>
      {shown.length < lines.length && !isAll && (
        <Button look="quiet" className="w-full rounded-none" onClick={() => setIsAll(true)}>
          Show {lines.length - shown.length} more lines
        </Button>
      )}
      {isAll && lines.length > SHOWN_MAX && (
        <p className="border-t border-line px-2 py-1 text-xs text-muted">
          {lines.length - SHOWN_MAX} more lines are not shown.
        </p>
      )}
    </div>
  );
}

function Files({ files }: { files: readonly Schemas["FileDiff"][] }) {
  if (files.length === 0) return null;
  return (
    <details className="rounded-lg border border-line bg-panel">
      <summary className="px-4 py-2 text-muted">
        {files.length === 1 ? "1 file" : `${files.length} files`} of the branch <code>state</code>
      </summary>
      <ul className="border-t border-line">
        {files.map((file) => (
          <li key={file.path} className="flex items-center gap-3 px-4 py-1.5">
            <code className="min-w-0 flex-1 truncate font-mono text-xs" title={file.path}>
              {file.path}
            </code>
            <span className="text-xs text-muted">{file.sizeAfter ?? 0} bytes</span>
            <ChangeBadge change={file.change} />
          </li>
        ))}
      </ul>
    </details>
  );
}

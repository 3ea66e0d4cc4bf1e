// The log of a job's attempt, live, of any size: search, follow, wrap, a link to each line, and the whole as a file.
import { useLocation, useNavigate } from "@tanstack/react-router";
import { ArrowDownToLine, Download, ScrollText, WrapText } from "lucide-react";
import { type ReactNode, useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Button, IconButton } from "../ui/Button.tsx";
import { size as bytes } from "../ui/bytes.ts";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { LogClient } from "./client.ts";
import { LogRow } from "./LogRow.tsx";
import { LogSearch } from "./LogSearch.tsx";
import type { LogState } from "./protocol.ts";
import { useRows } from "./useRows.ts";

interface Props {
  job: string;
  attempt: number;
  /** Nothing more will be written to it. */
  isOver: boolean;
  isTailFirst: boolean;
  /** What stands there while nothing was written. */
  empty: string;
  /** What belongs to the log and is not in it: which attempt. */
  children?: ReactNode;
}

/** A log is read anew for another job or attempt, and not when its job ends. */
export function LogView(props: Props) {
  const { job, attempt } = props;
  const { hash } = useLocation();
  const [client, setClient] = useState<LogClient | null>(null);
  const start = useRef({ isOver: props.isOver, isTailFirst: props.isTailFirst && !lineOf(hash) });
  useEffect(() => {
    const opened = new LogClient({ job, attempt, ...start.current });
    setClient(opened);
    return () => opened.close();
  }, [job, attempt]);
  if (!client) return <SkeletonRows />;
  return <OpenLog {...props} client={client} startsAtEnd={start.current.isTailFirst} />;
}

function lineOf(hash: string): number | null {
  const line = /^L(\d{1,12})$/.exec(hash)?.[1];
  return line ? Number(line) : null;
}

const WRAP_KEY = "mrx.wrap";
function wrapsAtFirst(): boolean {
  const kept = localStorage.getItem(WRAP_KEY);
  return kept === null ? innerWidth < 640 : kept === "yes";
}

function OpenLog({ client, startsAtEnd, ...props }: Props & { client: LogClient; startsAtEnd: boolean }) {
  useSyncExternalStore(client.subscribe, client.version);
  const { state, error } = client;
  if (error) return <ErrorNote error={error} />;
  if (!state) return <SkeletonRows />;
  return <ShownLog {...props} client={client} state={state} startsAtEnd={startsAtEnd} />;
}

interface ShownProps extends Props {
  client: LogClient;
  state: LogState;
  startsAtEnd: boolean;
}

function ShownLog({ client, state, startsAtEnd, job, attempt, isOver, empty, children }: ShownProps) {
  const navigate = useNavigate();
  const { hash } = useLocation();
  const chosen = (lineOf(hash) ?? 0) - 1;
  const isLive = !isOver && !state.isOver;
  const [isWrapped, setIsWrapped] = useState(wrapsAtFirst);
  const [isFollowing, setIsFollowing] = useState(startsAtEnd && isLive);
  const [current, setCurrent] = useState<number | null>(null);
  const follows = isFollowing && isLive;
  const rows = useRows({
    ...{ client, state, isWrapped, startsAtEnd },
    isFollowing: follows,
    onFollow: setIsFollowing,
  });
  const { show } = rows;
  const choose = useCallback(
    (row: number) => {
      void navigate({
        to: ".",
        search: (now) => now,
        hash: `L${row + 1}`,
        replace: true,
        resetScroll: false,
        hashScrollIntoView: false,
      });
    },
    [navigate],
  );
  const firstChosen = useRef(chosen);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only the line that the address had at first is gone to
  useEffect(() => {
    if (firstChosen.current >= 0) show(firstChosen.current);
  }, []);
  const goTo = (row: number) => {
    setIsFollowing(false);
    setCurrent(row);
    show(row);
  };
  const wrap = () => {
    localStorage.setItem(WRAP_KEY, isWrapped ? "no" : "yes");
    setIsWrapped(!isWrapped);
  };
  const digits = String(state.rows).length;
  const row = (number: number) => (
    <LogRow
      key={number}
      row={number}
      text={client.row(number)}
      isNumbered={state.isWhole}
      digits={digits}
      isWrapped={isWrapped}
      isChosen={state.isWhole && number === chosen}
      wanted={client.found?.text ?? ""}
      isCurrent={number === current}
      onChoose={choose}
    />
  );
  return (
    <div className="flex min-h-0 flex-1 flex-col" data-log={state.isRead ? "read" : "reading"}>
      <div className="flex flex-wrap items-center gap-1 border-b border-line px-2 py-1.5">
        <LogSearch client={client} current={current} onGo={goTo} />
        {children}
        <Reading state={state} />
        <IconButton
          label={isWrapped ? "Do not wrap long lines" : "Wrap long lines"}
          aria-pressed={isWrapped}
          className={isWrapped ? "bg-hover text-text" : ""}
          onClick={wrap}
        >
          <WrapText size={15} aria-hidden />
        </IconButton>
        <Save client={client} name={`${job}-${attempt}.log`} />
        {isLive && (
          <Button
            look={follows ? "plain" : "quiet"}
            aria-label="Follow"
            aria-pressed={follows}
            onClick={() => setIsFollowing(!isFollowing)}
          >
            <ArrowDownToLine size={14} aria-hidden />
            <span className="hidden sm:inline">Follow</span>
          </Button>
        )}
      </div>
      {state.rows === 0 && <Empty icon={ScrollText} title={empty} />}
      <section
        ref={rows.box}
        aria-label="Log"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reachable by keyboard
        tabIndex={0}
        onScroll={rows.onScroll}
        className={`relative min-h-0 flex-1 overflow-auto bg-code font-mono text-xs/5 outline-offset-[-2px] [overflow-anchor:none] ${state.rows === 0 ? "hidden" : ""}`}
      >
        <div style={{ height: rows.surfacePx }} />
        <div
          ref={rows.anchor}
          className={`absolute top-0 left-0 h-0 min-w-full ${isWrapped ? "w-full" : "w-max"}`}
        >
          <div className={`absolute bottom-full left-0 min-w-full ${isWrapped ? "w-full" : "w-max"}`}>
            {rows.above.map(row)}
          </div>
          <div className={`absolute top-0 left-0 min-w-full ${isWrapped ? "w-full" : "w-max"}`}>
            {rows.below.map(row)}
          </div>
        </div>
      </section>
    </div>
  );
}

/** How much of a long log is here. */
function Reading({ state }: { state: LogState }) {
  return (
    <span className="ml-auto hidden px-1 text-xs text-muted sm:inline" role="status">
      {state.isRead
        ? `${state.rows.toLocaleString()} ${state.rows === 1 ? "line" : "lines"} · ${bytes(state.size)}`
        : `${bytes(state.read)} of ${bytes(state.size)}`}
    </span>
  );
}

/** By then the browser has begun to write the file. */
const SAVED_MS = 60_000;

function Save({ client, name }: { client: LogClient; name: string }) {
  const [isBusy, setIsBusy] = useState(false);
  const save = async () => {
    setIsBusy(true);
    const address = URL.createObjectURL(await client.save());
    const link = document.createElement("a");
    [link.href, link.download] = [address, name];
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), SAVED_MS);
    setIsBusy(false);
  };
  return (
    <IconButton label="Download the log" isBusy={isBusy} disabled={isBusy} onClick={() => void save()}>
      <Download size={15} aria-hidden />
    </IconButton>
  );
}

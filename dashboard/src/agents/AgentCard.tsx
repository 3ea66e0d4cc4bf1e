// One agent: whether it is there, what it runs, offers and may.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import clsx from "clsx";
import { KeyRound, type LucideIcon, Pencil, Play, Power, PowerOff, Waves } from "lucide-react";
import type { ReactNode } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Badge } from "../ui/Badge.tsx";
import { Button, IconButton } from "../ui/Button.tsx";
import { Time, useNow } from "../ui/Time.tsx";
import { useFailed } from "../ui/Toast.tsx";
import type { Agent } from "./AgentsPage.tsx";

/** A waiting agent calls every 30 s, and one at work more often: silent for longer it is away. */
const ONLINE_MS = 75_000;

interface Props {
  agent: Agent;
  mayChange: boolean;
  onDo(what: "edit" | "rotate" | "disable" | "drain"): void;
}

export function AgentCard({ agent, mayChange, onDo }: Props) {
  const isDraining = Boolean(agent.drainingSince);
  return (
    <li className="flex flex-col gap-3 rounded-lg border border-line bg-panel p-4" aria-label={agent.agentId}>
      <div className="flex items-start gap-2">
        <div className="min-w-0 flex-1">
          <h2 className="flex items-center gap-2 font-medium">
            <span className="truncate">{agent.agentId}</span>
            {isDraining && <Badge tone="warn">{agent.holds.length > 0 ? "draining" : "drained"}</Badge>}
            {agent.disabledAt && <Badge tone="bad">disabled</Badge>}
          </h2>
          <Presence agent={agent} />
        </div>
        <span className="flex">
          <IconButton label="Change what it may" disabled={!mayChange} onClick={() => onDo("edit")}>
            <Pencil size={15} aria-hidden />
          </IconButton>
          <IconButton label="Give it another key" disabled={!mayChange} onClick={() => onDo("rotate")}>
            <KeyRound size={15} aria-hidden />
          </IconButton>
          {isDraining && !agent.disabledAt && (
            <Undo agent={agent} mayChange={mayChange} body={{ draining: false }} icon={Play}>
              Give it jobs again
            </Undo>
          )}
          {!isDraining && !agent.disabledAt && (
            <IconButton label="Drain it: no more jobs" disabled={!mayChange} onClick={() => onDo("drain")}>
              <Waves size={15} aria-hidden />
            </IconButton>
          )}
          {agent.disabledAt ? (
            <Undo agent={agent} mayChange={mayChange} body={{ disabled: false }} icon={Power}>
              Enable
            </Undo>
          ) : (
            <IconButton label="Disable it" disabled={!mayChange} onClick={() => onDo("disable")}>
              <PowerOff size={15} aria-hidden />
            </IconButton>
          )}
        </span>
      </div>
      <dl className="grid grid-cols-[5rem_1fr] gap-x-3 gap-y-1.5">
        <Row name="Runs">
          {agent.holds.length === 0 && <span className="text-muted">nothing</span>}
          {agent.holds.map(({ jobId, projectId }) => (
            <Link
              key={jobId}
              to="/projects/$id/jobs/$job"
              params={{ id: projectId, job: jobId }}
              className="text-accent hover:underline"
            >
              {projectId} <code className="font-mono text-xs">…{jobId.slice(-6)}</code>
            </Link>
          ))}
        </Row>
        <Row name="Labels">
          {agent.labels.length === 0 && <span className="text-muted">none</span>}
          {agent.labels.map((label) => (
            <Badge key={label}>{label}</Badge>
          ))}
          {agent.allowedLabels && (
            <span className="text-xs text-muted">
              may offer {agent.allowedLabels.length ? agent.allowedLabels.join(", ") : "none"}
            </span>
          )}
        </Row>
        <Row name="Projects">
          {!agent.projects && <span className="text-muted">all</span>}
          {agent.projects?.length === 0 && <span className="text-muted">none</span>}
          {agent.projects?.map((id) => (
            <Link key={id} to="/projects/$id" params={{ id }} className="text-accent hover:underline">
              {id}
            </Link>
          ))}
        </Row>
        <Row name="Key">
          <span className="text-muted">
            {agent.hasKey ? "its own" : "one-time codes"} · registered <Time at={agent.registeredAt} />
          </span>
        </Row>
      </dl>
    </li>
  );
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-xs leading-5.5 text-muted">{name}</dt>
      <dd className="flex min-w-0 flex-wrap items-center gap-x-3 gap-y-1">{children}</dd>
    </>
  );
}

function Presence({ agent }: { agent: Agent }) {
  const now = useNow();
  const heard = agent.lastHeardAt;
  const isOnline =
    !agent.disabledAt &&
    (agent.holds.length > 0 || (heard && now.getTime() - new Date(heard).getTime() < ONLINE_MS));
  return (
    <span className="inline-flex items-center gap-1.5 text-xs text-muted">
      <span className={clsx("size-2 rounded-full", isOnline ? "bg-good" : "bg-line-strong")} aria-hidden />
      {isOnline ? "online" : "away"}
      {heard ? (
        <span>
          · heard of <Time at={heard} />
        </span>
      ) : (
        <span>· not heard of since the daemon started</span>
      )}
    </span>
  );
}

interface UndoProps {
  agent: Agent;
  mayChange: boolean;
  body: Schemas["ChangeAgentBody"];
  icon: LucideIcon;
  children: string;
}

/** Takes back that it is drained or disabled. */
function Undo({ agent, mayChange, body, icon: Icon, children }: UndoProps) {
  const queries = useQueryClient();
  const failed = useFailed();
  const undo = useMutation({
    mutationFn: () =>
      client.PATCH("/admin/agents/{agentId}", {
        params: { path: { agentId: agent.agentId } },
        body,
      }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["/agents"] }),
    onError: failed,
  });
  return (
    <Button disabled={!mayChange} isBusy={undo.isPending} onClick={() => undo.mutate()}>
      <Icon size={15} aria-hidden />
      {children}
    </Button>
  );
}

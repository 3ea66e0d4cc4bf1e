// The agents: who is there, what they offer and run, and what they may do. For admins.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Bot, Plus } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import { reading, type Schemas } from "../api/read.ts";
import { useIsNow } from "../session/session.ts";
import { Button } from "../ui/Button.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { inputClass } from "../ui/Field.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { useFailed, useToast } from "../ui/Toast.tsx";
import { AddAgent } from "./AddAgent.tsx";
import { AgentCard } from "./AgentCard.tsx";
import { EditAgent } from "./EditAgent.tsx";
import { NewKey } from "./NewKey.tsx";

export type Agent = Schemas["AgentView"];
/** That an agent was heard of is no commit and no event, so while the page is open it looks this often. */
const LOOK_MS = 3000;

type Open =
  | { what: "add" }
  | { what: "edit" | "rotate" | "disable" | "drain"; agent: Agent }
  | { what: "key"; name: string; secret: string; labels: string[] };

export default function AgentsPage() {
  const agents = useQuery({ ...reading("/agents"), refetchInterval: LOOK_MS });
  const [search, setSearch] = useState("");
  const [open, setOpen] = useState<Open | null>(null);
  const isNow = useIsNow();
  const close = () => setOpen(null);
  const all = agents.data?.agents ?? [];
  const shown = all.filter((agent) => `${agent.agentId} ${agent.labels.join(" ")}`.includes(search.trim()));
  return (
    <>
      <PageHead title="Agents">
        <input
          data-search
          type="search"
          aria-label="Search agents"
          placeholder="Search  /"
          className={`${inputClass} max-w-48`}
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        <Button look="primary" disabled={!isNow} onClick={() => setOpen({ what: "add" })}>
          <Plus size={15} aria-hidden />
          Add an agent
        </Button>
      </PageHead>
      <div className="min-h-0 flex-1 overflow-y-auto">
        {agents.isPending && <SkeletonRows />}
        {agents.isError && <ErrorNote error={agents.error} onRetry={() => void agents.refetch()} />}
        {agents.data && all.length === 0 && (
          <Empty icon={Bot} title="No agents yet" command="mrx admin agent add builder-1">
            An agent is a machine that claims jobs and runs them. Add one here, or beside the daemon's data
            with
          </Empty>
        )}
        {all.length > 0 && shown.length === 0 && <Empty icon={Bot} title={`No agent is like “${search}”`} />}
        <ul className="grid gap-3 p-4 xl:grid-cols-2">
          {shown.map((agent) => (
            <AgentCard
              key={agent.agentId}
              agent={agent}
              mayChange={isNow}
              onDo={(what) => setOpen({ what, agent })}
            />
          ))}
        </ul>
      </div>
      <AddAgent isOpen={open?.what === "add"} onClose={close} />
      {open?.what === "edit" && <EditAgent agent={open.agent} onClose={close} />}
      {open && (open.what === "rotate" || open.what === "disable" || open.what === "drain") && (
        <Ask
          what={open.what}
          agent={open.agent}
          onClose={close}
          onKey={(secret) =>
            setOpen({ what: "key", name: open.agent.agentId, secret, labels: open.agent.labels })
          }
        />
      )}
      {open?.what === "key" && <NewKey {...open} title={`A new key for ${open.name}`} onClose={close} />}
    </>
  );
}

const QUESTIONS = {
  rotate: {
    deed: "Make a new key",
    title: "another key",
    text: "The key it has is refused from that moment on. The new one is shown once.",
  },
  disable: {
    deed: "Disable it",
    title: "be disabled",
    text: "Each of its calls is refused at once. What it runs now goes to another agent when its lease ends.",
  },
  drain: {
    deed: "Drain it",
    title: "get no more jobs",
    text: "It finishes what it runs and gets nothing new, until it is given jobs again. Its projects and labels stay.",
  },
} as const;

interface AskProps {
  what: keyof typeof QUESTIONS;
  agent: Agent;
  onClose(): void;
  onKey(key: string): void;
}

function Ask({ what, agent, onClose, onKey }: AskProps) {
  const queries = useQueryClient();
  const toast = useToast();
  const failed = useFailed();
  const { deed, title, text } = QUESTIONS[what];
  const params = { path: { agentId: agent.agentId } };
  const run = useMutation({
    async mutationFn() {
      if (what === "rotate") {
        const { data } = await client.POST("/admin/agents/{agentId}/rotate", { params });
        return data?.key ?? null;
      }
      const body = what === "disable" ? { disabled: true } : { draining: true };
      await client.PATCH("/admin/agents/{agentId}", { params, body });
      return null;
    },
    onSuccess(key) {
      void queries.invalidateQueries({ queryKey: ["/agents"] });
      if (key) return onKey(key);
      toast({ tone: "good", text: what === "disable" ? "It is disabled." : "It gets no more jobs." });
      onClose();
    },
    onError: failed,
  });
  return (
    <Confirm
      title={`${agent.agentId}: ${title}?`}
      deed={deed}
      isOpen
      isBusy={run.isPending}
      onClose={onClose}
      onConfirm={() => run.mutate()}
    >
      {text}
    </Confirm>
  );
}

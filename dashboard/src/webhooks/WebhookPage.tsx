// One webhook: what it sends where, its deliveries, and sending one again.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { BellRing, KeyRound, Pause, Pencil, Play, RotateCw, Send, Trash2 } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import { reading, type Schemas } from "../api/read.ts";
import { useLookAfter } from "../live/after.ts";
import { useMay } from "../session/manage.ts";
import { Badge, type Tone } from "../ui/Badge.tsx";
import { Button, IconButton } from "../ui/Button.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { exactly, Time } from "../ui/Time.tsx";
import { useFailed, useToast } from "../ui/Toast.tsx";
import { NewSecret, refresh, WebhookForm } from "./WebhookForm.tsx";
import { OnOff } from "./WebhooksPage.tsx";

const DELIVERIES = "/projects/{id}/webhooks/{webhookId}/deliveries";
/** A delivery is no commit, but follows one: so long after an event the list is looked at again. */
const LOOK_AFTER_MS = [500, 3000];

export default function WebhookPage() {
  const { id, webhookId } = useParams({ from: "/shell/projects/$id/webhooks/$webhookId" });
  const params = { path: { id, webhookId } };
  const hook = useQuery(reading("/projects/{id}/webhooks/{webhookId}", { params }));
  const mayManage = useMay("admin", id);
  if (hook.isPending) return <SkeletonRows />;
  if (hook.isError) return <ErrorNote error={hook.error} onRetry={() => void hook.refetch()} />;
  return (
    <>
      <PageHead title="Webhook" of={id}>
        <Deeds id={id} hook={hook.data} mayManage={mayManage} />
      </PageHead>
      <div className="min-h-0 flex-1 overflow-y-auto">
        <dl className="grid gap-x-4 gap-y-2 border-b border-line px-4 py-3 sm:grid-cols-[7rem_1fr]">
          <dt className="text-muted">Address</dt>
          <dd className="flex min-w-0 items-center gap-2">
            <span className="truncate">{hook.data.url}</span>
            <OnOff hook={hook.data} />
          </dd>
          <dt className="text-muted">Events</dt>
          <dd>{hook.data.events.join(", ")}</dd>
          <dt className="text-muted">Made by</dt>
          <dd>
            {hook.data.createdBy}, <Time at={hook.data.createdAt} />
          </dd>
          {hook.data.disabledBecause && (
            <>
              <dt className="text-muted">Off because</dt>
              <dd className="text-bad">{hook.data.disabledBecause}</dd>
            </>
          )}
        </dl>
        <Deliveries id={id} webhookId={webhookId} mayManage={mayManage} />
      </div>
    </>
  );
}

interface DeedsProps {
  id: string;
  hook: Schemas["WebhookView"];
  mayManage: boolean;
}

function Deeds({ id, hook, mayManage }: DeedsProps) {
  const [open, setOpen] = useState<"edit" | "rotate" | "remove" | null>(null);
  const [secret, setSecret] = useState<string | null>(null);
  const queries = useQueryClient();
  const navigate = useNavigate();
  const toast = useToast();
  const failed = useFailed();
  const params = { path: { id, webhookId: hook.webhookId } };
  const close = () => setOpen(null);
  const change = useMutation({
    mutationFn: async (body: { enabled?: boolean; rotateSecret?: boolean }) =>
      (await client.PATCH("/projects/{id}/webhooks/{webhookId}", { params, body })).data,
    onSuccess(view) {
      refresh(queries);
      close();
      setSecret(view?.secret ?? null);
    },
    onError: failed,
  });
  const ping = useMutation({
    mutationFn: async () => (await client.POST("/projects/{id}/webhooks/{webhookId}/ping", { params })).data,
    onSuccess(delivery) {
      void queries.invalidateQueries({ queryKey: [DELIVERIES] });
      const last = delivery?.attempts.at(-1);
      const isGood = delivery?.state === "delivered";
      const said = last?.status
        ? `The receiver answered ${last.status}.`
        : (last?.problem ?? "No answer came.");
      toast({ tone: isGood ? "good" : "bad", text: said });
    },
    onError: failed,
  });
  const remove = useMutation({
    mutationFn: () => client.DELETE("/projects/{id}/webhooks/{webhookId}", { params }),
    onSuccess() {
      void queries.invalidateQueries({ queryKey: ["/projects/{id}/webhooks"] });
      void navigate({ to: "/projects/$id/webhooks", params: { id } });
    },
    onError: failed,
  });
  return (
    <>
      <Button disabled={!mayManage} isBusy={ping.isPending} onClick={() => ping.mutate()}>
        <BellRing size={15} aria-hidden />
        Ping
      </Button>
      <Button
        disabled={!mayManage}
        isBusy={change.isPending}
        onClick={() => change.mutate({ enabled: !hook.enabled })}
      >
        {hook.enabled ? <Pause size={15} aria-hidden /> : <Play size={15} aria-hidden />}
        {hook.enabled ? "Turn off" : "Turn on"}
      </Button>
      <span className="flex">
        <IconButton label="Change it" disabled={!mayManage} onClick={() => setOpen("edit")}>
          <Pencil size={15} aria-hidden />
        </IconButton>
        <IconButton label="Make another secret" disabled={!mayManage} onClick={() => setOpen("rotate")}>
          <KeyRound size={15} aria-hidden />
        </IconButton>
        <IconButton label="Remove it" disabled={!mayManage} onClick={() => setOpen("remove")}>
          <Trash2 size={15} aria-hidden />
        </IconButton>
      </span>
      {open === "edit" && <WebhookForm project={id} known={hook} onClose={close} />}
      {secret && <NewSecret secret={secret} onClose={() => setSecret(null)} />}
      <Confirm
        title="Make another secret?"
        deed="Make it"
        isOpen={open === "rotate"}
        isBusy={change.isPending}
        onClose={close}
        onConfirm={() => change.mutate({ rotateSecret: true })}
      >
        Deliveries are signed with the new one from now on. It is shown once.
      </Confirm>
      <Confirm
        title="Remove the webhook?"
        deed="Remove it"
        isOpen={open === "remove"}
        isBusy={remove.isPending}
        onClose={close}
        onConfirm={() => remove.mutate()}
      >
        Nothing is sent to {hook.url} any more. Its secret is gone, so it cannot be put back.
      </Confirm>
    </>
  );
}

function Deliveries({ id, webhookId, mayManage }: { id: string; webhookId: string; mayManage: boolean }) {
  const deliveries = useQuery(reading(DELIVERIES, { params: { path: { id, webhookId } } }));
  useLookAfter(id, LOOK_AFTER_MS, deliveries.refetch);
  if (deliveries.isPending) return <SkeletonRows rows={4} />;
  if (deliveries.isError)
    return <ErrorNote error={deliveries.error} onRetry={() => void deliveries.refetch()} />;
  const all = deliveries.data.deliveries;
  return (
    <section aria-labelledby="deliveries" className="p-4">
      <h2 id="deliveries" className="mb-2 font-semibold">
        Deliveries
      </h2>
      {all.length === 0 ? (
        <Empty icon={Send} title="Nothing was sent yet">
          The next event that it wants is. “Ping” sends one now, to try it.
        </Empty>
      ) : (
        <ul className="overflow-hidden rounded-lg border border-line bg-panel">
          {all.map((delivery) => (
            <Row
              key={delivery.number}
              id={id}
              webhookId={webhookId}
              delivery={delivery}
              mayManage={mayManage}
            />
          ))}
        </ul>
      )}
    </section>
  );
}

const STATES: Record<Schemas["DeliveryState"], Tone> = { delivered: "good", waiting: "busy", failed: "bad" };

interface RowProps {
  id: string;
  webhookId: string;
  delivery: Schemas["Delivery"];
  mayManage: boolean;
}

function Row({ id, webhookId, delivery, mayManage }: RowProps) {
  const queries = useQueryClient();
  const failed = useFailed();
  const params = { path: { id, webhookId, number: delivery.number } };
  const again = useMutation({
    mutationFn: () =>
      client.POST("/projects/{id}/webhooks/{webhookId}/deliveries/{number}/redeliver", { params }),
    onSuccess: () => queries.invalidateQueries({ queryKey: [DELIVERIES] }),
    onError: failed,
  });
  const last = delivery.attempts.at(-1);
  return (
    <li className="border-b border-line last:border-b-0">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2">
        <Badge tone={STATES[delivery.state]}>{delivery.state}</Badge>
        <code className="font-mono text-xs">{delivery.event}</code>
        <span className="min-w-0 flex-1 truncate text-xs text-muted">
          {last?.status ? `${last.status}` : last?.problem}
          {delivery.attempts.length > 1 && ` · ${delivery.attempts.length} attempts`}
          {delivery.nextAttemptAt && ` · again at ${exactly(delivery.nextAttemptAt)}`}
        </span>
        {last && <Time at={last.at} className="text-xs text-muted" />}
        <Button
          className="h-7 text-xs"
          disabled={!mayManage}
          isBusy={again.isPending}
          onClick={() => again.mutate()}
        >
          <RotateCw size={13} aria-hidden />
          Send again
        </Button>
      </div>
      {last?.answer && (
        <details className="px-4 pb-2">
          <summary className="text-xs text-muted">What the receiver answered</summary>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reachable by keyboard */}
          <pre className="mt-1 max-h-40 overflow-auto rounded-md bg-code p-2 font-mono text-xs" tabIndex={0}>
            {last.answer}
          </pre>
        </details>
      )}
    </li>
  );
}

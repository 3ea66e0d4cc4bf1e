// The webhooks of a project: where its events are sent.
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { Plus, Webhook } from "lucide-react";
import { useState } from "react";
import { reading, type Schemas } from "../api/read.ts";
import { useMay } from "../session/manage.ts";
import { Badge } from "../ui/Badge.tsx";
import { Button } from "../ui/Button.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { WebhookForm } from "./WebhookForm.tsx";

export default function WebhooksPage() {
  const { id } = useParams({ from: "/shell/projects/$id/webhooks" });
  const webhooks = useQuery(reading("/projects/{id}/webhooks", { params: { path: { id } } }));
  const [isMaking, setIsMaking] = useState(false);
  const mayManage = useMay("admin", id);
  const all = webhooks.data?.webhooks ?? [];
  return (
    <>
      <PageHead title="Webhooks" of={id}>
        <Button look="primary" disabled={!mayManage} onClick={() => setIsMaking(true)}>
          <Plus size={15} aria-hidden />
          New webhook
        </Button>
      </PageHead>
      <div className="min-h-0 flex-1 overflow-y-auto">
        {webhooks.isPending && <SkeletonRows />}
        {webhooks.isError && <ErrorNote error={webhooks.error} onRetry={() => void webhooks.refetch()} />}
        {webhooks.data && all.length === 0 && (
          <Empty icon={Webhook} title="No webhooks yet" command={command(id)}>
            A webhook tells another program what happens here, signed and in order. Make one here, or with
          </Empty>
        )}
        <ul>
          {all.map((hook) => (
            <li key={hook.webhookId}>
              <Link
                to="/projects/$id/webhooks/$webhookId"
                params={{ id, webhookId: hook.webhookId }}
                className="flex items-center gap-4 border-b border-line bg-panel px-4 py-3 hover:bg-hover focus-visible:outline-offset-[-2px]"
              >
                <span className="min-w-0 flex-1">
                  <span className="flex items-center gap-2">
                    <span className="truncate font-medium">{hook.url}</span>
                    <OnOff hook={hook} />
                  </span>
                  <span className="block truncate text-xs text-muted">{hook.events.join(", ")}</span>
                </span>
                <span className="hidden text-right text-xs text-muted sm:block">
                  made by {hook.createdBy}
                  <Time at={hook.createdAt} className="block" />
                </span>
              </Link>
            </li>
          ))}
        </ul>
      </div>
      {isMaking && <WebhookForm project={id} onClose={() => setIsMaking(false)} />}
    </>
  );
}

function command(id: string): string {
  const body = '{"url": "https://example.org/hook", "events": ["job.*"]}';
  const headers = `-H "Authorization: Bearer $MRX_TOKEN" -H 'Content-Type: application/json'`;
  return `curl ${headers} -d '${body}' ${location.origin}/projects/${id}/webhooks`;
}

export function OnOff({ hook }: { hook: Schemas["WebhookView"] }) {
  if (hook.enabled) return <Badge tone="good">on</Badge>;
  return <Badge tone={hook.disabledBecause ? "bad" : "warn"}>off</Badge>;
}

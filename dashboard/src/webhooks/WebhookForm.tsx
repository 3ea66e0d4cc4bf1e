// Makes a webhook or changes one. Its secret is shown once, when it is new.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { wordsOf } from "../agents/words.ts";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Command } from "../ui/Copy.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";

interface Props {
  project: string;
  known?: Schemas["WebhookView"];
  onClose(): void;
}

export function WebhookForm({ project, known, onClose }: Props) {
  const [url, setUrl] = useState(known?.url ?? "");
  const [events, setEvents] = useState(known?.events.join(", ") ?? "job.*");
  const [secret, setSecret] = useState<string | null>(null);
  const queries = useQueryClient();
  const save = useMutation({
    async mutationFn() {
      const body = { url, events: wordsOf(events) };
      if (!known) {
        const params = { path: { id: project } };
        return (await client.POST("/projects/{id}/webhooks", { params, body })).data;
      }
      const params = { path: { id: project, webhookId: known.webhookId } };
      // Another address makes another secret; the same one is not sent.
      const patch = url === known.url ? { events: body.events } : body;
      return (await client.PATCH("/projects/{id}/webhooks/{webhookId}", { params, body: patch })).data;
    },
    onSuccess(view) {
      refresh(queries);
      if (view?.secret) setSecret(view.secret);
      else onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  if (secret) return <NewSecret secret={secret} onClose={onClose} />;
  return (
    <Dialog title={known ? "Change the webhook" : "New webhook"} isOpen onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        <Field
          label="Address"
          hint="https, of a host of the public internet. It stands in git in plain text: put no token into it."
          type="url"
          placeholder="https://example.org/hook"
          autoFocus
          required
          spellCheck={false}
          value={url}
          onChange={(event) => setUrl(event.target.value)}
        />
        <Field
          label="Events"
          hint="Separated by commas: job.completed, artifact.*, or * for all."
          required
          spellCheck={false}
          value={events}
          onChange={(event) => setEvents(event.target.value)}
        />
        <Refusal error={save.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" isBusy={save.isPending}>
            {known ? "Save" : "Make the webhook"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Reads anew what is known of webhooks. */
export function refresh(queries: ReturnType<typeof useQueryClient>): void {
  for (const path of ["/projects/{id}/webhooks", "/projects/{id}/webhooks/{webhookId}"])
    void queries.invalidateQueries({ queryKey: [path] });
}

export function NewSecret({ secret, onClose }: { secret: string; onClose(): void }) {
  return (
    <Dialog title="The webhook's secret" isOpen onClose={onClose}>
      <div className="flex flex-col gap-4">
        <p className="text-muted">
          Deliveries are signed with it (<code>Mrx-Signature</code>). Give it to the receiver now: it is shown
          this once.
        </p>
        <Command text={secret} />
        <div className="flex justify-end">
          <Button look="primary" onClick={onClose}>
            I have kept the secret
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

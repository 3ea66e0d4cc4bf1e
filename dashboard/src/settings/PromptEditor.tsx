// What every model is told first about the project.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/client.ts";
import { reading } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Section } from "../ui/Section.tsx";
import { ErrorNote, Skeleton } from "../ui/States.tsx";
import { TextArea } from "../ui/TextArea.tsx";
import { useToast } from "../ui/Toast.tsx";

export function PromptEditor({ id, mayManage }: { id: string; mayManage: boolean }) {
  const prompt = useQuery(reading("/projects/{id}/prompt", { params: { path: { id } } }));
  return (
    <Section title="Prompt" about="What every model is told first, in each chat of the project.">
      {prompt.isPending && <Skeleton className="m-4 h-24" />}
      {prompt.isError && <ErrorNote error={prompt.error} onRetry={() => void prompt.refetch()} />}
      {prompt.data && (
        <Editor key={prompt.data.updatedAt} id={id} text={prompt.data.text} mayManage={mayManage} />
      )}
    </Section>
  );
}

function Editor({ id, text, mayManage }: { id: string; text: string; mayManage: boolean }) {
  const [draft, setDraft] = useState(text);
  const queries = useQueryClient();
  const toast = useToast();
  const options = reading("/projects/{id}/prompt", { params: { path: { id } } });
  const save = useMutation({
    mutationFn: () =>
      client.PUT("/projects/{id}/prompt", { params: { path: { id } }, body: { text: draft } }),
    onSuccess({ data }) {
      if (data) queries.setQueryData(options.queryKey, data);
      toast({ tone: "good", text: "The prompt is saved." });
    },
  });
  return (
    <div className="flex flex-col gap-3 p-4">
      <TextArea
        label="Prompt"
        hint="Markdown or plain text, at most 16 KiB"
        rows={6}
        placeholder="This is a weather service in Rust. Answer briefly, and show code as patches."
        disabled={!mayManage}
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
      />
      <Refusal error={save.error} />
      <Button
        look="primary"
        className="self-end"
        disabled={!mayManage || draft === text}
        isBusy={save.isPending}
        onClick={() => save.mutate()}
      >
        Save the prompt
      </Button>
    </div>
  );
}

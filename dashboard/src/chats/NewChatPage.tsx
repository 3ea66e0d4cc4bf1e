// A new chat: its first message makes it, in one commit with the job that answers.
import { useMutation } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { MessagesSquare } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { requestKey } from "../api/request-key.ts";
import { Refusal } from "../session/Card.tsx";
import { useMayWrite } from "../session/may-write.ts";
import { PageHead } from "../ui/Page.tsx";
import { Empty } from "../ui/States.tsx";
import { ChatRail } from "./ChatRail.tsx";
import { Composer } from "./Composer.tsx";
import type { Part } from "./conversation.ts";
import { ModeChoice } from "./ModeChoice.tsx";

export default function NewChatPage() {
  const { id } = useParams({ from: "/shell/projects/$id/chats/new" });
  const [llmMode, setMode] = useState<Schemas["LlmMode"]>("custom");
  // The page makes one chat, however often it has to ask.
  const [key] = useState(requestKey);
  const { mayWrite, reason } = useMayWrite(id);
  const navigate = useNavigate();
  const begin = useMutation({
    mutationFn: (parts: Part[]) =>
      client.POST("/projects/{id}/chats", {
        params: { path: { id }, header: { "Idempotency-Key": key } },
        body: { llmMode, message: { parts } },
      }),
    onSuccess({ data }) {
      const { chatId } = data as Schemas["Chat"];
      void navigate({ to: "/projects/$id/chats/$chatId", params: { id, chatId }, replace: true });
    },
  });
  return (
    <div className="flex min-h-0 flex-1">
      <ChatRail id={id} />
      <section aria-label="New chat" className="flex min-w-0 flex-1 flex-col">
        <PageHead title="New chat" of={id}>
          <ModeChoice value={llmMode} isDisabled={!mayWrite} onChange={setMode} />
        </PageHead>
        <div className="min-h-0 flex-1 px-4 pb-4">
          <div className="mx-auto flex h-full max-w-3xl flex-col gap-3">
            <div className="grid flex-1 place-items-center">
              <Empty icon={MessagesSquare} title="What is there to do?">
                Ask about the project, or say what should change. The model is told the project's prompt
                first.
              </Empty>
            </div>
            <Refusal error={begin.error} />
            <Composer
              id={id}
              label="Write the first message"
              isDisabled={!mayWrite}
              reason={reason}
              isBusy={begin.isPending}
              onSend={(parts) => begin.mutateAsync(parts)}
            />
          </div>
        </div>
      </section>
    </div>
  );
}

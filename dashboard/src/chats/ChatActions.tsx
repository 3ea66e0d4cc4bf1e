// What can be done with a chat as a whole: name it, remove it.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Pencil, Trash2 } from "lucide-react";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button, IconButton } from "../ui/Button.tsx";
import { Confirm, Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";

const TITLE_CHARACTERS_MAX = 200;

interface Props {
  id: string;
  chat: Schemas["Chat"];
  mayWrite: boolean;
  onGone(): void;
}

export function ChatActions(props: Props) {
  const [isNaming, setIsNaming] = useState(false);
  const [isRemoving, setIsRemoving] = useState(false);
  return (
    <>
      <IconButton label="Rename the chat" disabled={!props.mayWrite} onClick={() => setIsNaming(true)}>
        <Pencil size={15} aria-hidden />
      </IconButton>
      <IconButton label="Delete the chat" disabled={!props.mayWrite} onClick={() => setIsRemoving(true)}>
        <Trash2 size={15} aria-hidden />
      </IconButton>
      <Dialog title="Rename the chat" isOpen={isNaming} onClose={() => setIsNaming(false)}>
        <Rename {...props} onClose={() => setIsNaming(false)} />
      </Dialog>
      <Remove {...props} isOpen={isRemoving} onClose={() => setIsRemoving(false)} />
    </>
  );
}

function Rename({ id, chat, onClose }: Props & { onClose(): void }) {
  const [title, setTitle] = useState(chat.title);
  const rename = useMutation({
    mutationFn: () =>
      client.PATCH("/projects/{id}/chats/{chatId}", {
        params: { path: { id, chatId: chat.chatId } },
        body: { title: title.trim() },
      }),
    onSuccess: onClose,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    rename.mutate();
  };
  return (
    <form className="flex flex-col gap-4" onSubmit={submit}>
      <Field
        label="Title"
        required
        autoFocus
        maxLength={TITLE_CHARACTERS_MAX}
        value={title}
        onChange={(event) => setTitle(event.target.value)}
      />
      <Refusal error={rename.error} />
      <Button type="submit" look="primary" className="self-end" isBusy={rename.isPending}>
        Rename it
      </Button>
    </form>
  );
}

function Remove({ id, chat, isOpen, onClose, onGone }: Props & { isOpen: boolean; onClose(): void }) {
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: () =>
      client.DELETE("/projects/{id}/chats/{chatId}", { params: { path: { id, chatId: chat.chatId } } }),
    onSuccess() {
      void queries.invalidateQueries({ queryKey: ["/projects/{id}/chats"] });
      onGone();
    },
  });
  return (
    <Confirm
      title="Delete the chat?"
      isOpen={isOpen}
      onClose={onClose}
      deed="Delete it"
      isBusy={remove.isPending}
      onConfirm={() => remove.mutate()}
    >
      “{chat.title}” and all that was said in it go, and its answers in the making are stopped. The state's
      history keeps it.
      <Refusal error={remove.error} />
    </Confirm>
  );
}

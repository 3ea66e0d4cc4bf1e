// Where a message is written: text, files beside it, and the button that sends both.
import { ArrowUp, LoaderCircle, Paperclip, X } from "lucide-react";
import { type DragEvent, type KeyboardEvent, useRef, useState } from "react";
import { Button, IconButton } from "../ui/Button.tsx";
import { useAttachments } from "./attach.ts";
import type { Part } from "./conversation.ts";

interface Props {
  id: string;
  label: string;
  isDisabled: boolean;
  /** Why it is, in its place. */
  reason?: string | undefined;
  isBusy?: boolean;
  /** What it gives tells whether to keep the text: until it is fulfilled, or not at all. */
  onSend(parts: Part[]): Promise<unknown> | undefined;
}

export function Composer({ id, label, isDisabled, reason, isBusy, onSend }: Props) {
  const [text, setText] = useState("");
  const { files, add, remove, clear } = useAttachments(id);
  const chooser = useRef<HTMLInputElement>(null);
  const isUploading = files.some((file) => !file.artifact && !file.error);
  const artifacts = files.flatMap((file) => (file.artifact ? [file.artifact] : []));
  const isEmpty = text.trim() === "" && artifacts.length === 0;
  const mayNotSend = isDisabled || isBusy || isUploading || isEmpty;
  const send = () => {
    if (mayNotSend) return;
    const said: Part[] = text.trim() === "" ? [] : [{ type: "text", text: text.trim() }];
    const parts = [...said, ...artifacts.map(({ artifactId }): Part => ({ type: "file", artifactId }))];
    const empty = () => {
      setText("");
      clear();
    };
    const sent = onSend(parts);
    // Why it was refused is said by whoever sends.
    if (sent) sent.then(empty, () => {});
    else empty();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    if (!isDisabled) add(event.dataTransfer.files);
  };
  return (
    <form
      className="flex flex-col gap-1 rounded-xl border border-line-strong bg-panel p-2 focus-within:border-accent"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={onDrop}
    >
      {files.length > 0 && (
        <ul className="flex flex-wrap gap-1.5" aria-label="Files of this message">
          {files.map(({ key, name, artifact, error }) => (
            <li
              key={key}
              className="flex h-8 max-w-full items-center gap-1.5 rounded-md border border-line bg-code pl-2 text-xs"
            >
              {artifact || error ? (
                <Paperclip size={12} aria-hidden />
              ) : (
                <LoaderCircle size={12} className="animate-spin" aria-label="Uploading" />
              )}
              <span className="truncate">{name}</span>
              {error && <span className="truncate text-bad">{error.message}</span>}
              <IconButton label={`Remove ${name}`} onClick={() => remove(key)}>
                <X size={12} aria-hidden />
              </IconButton>
            </li>
          ))}
        </ul>
      )}
      <textarea
        aria-label={label}
        placeholder={reason ?? label}
        rows={1}
        className="field-sizing-content max-h-64 min-h-9 w-full resize-none bg-transparent px-2 py-1.5 outline-none placeholder:text-muted disabled:cursor-not-allowed"
        disabled={isDisabled}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
        onPaste={(event) => event.clipboardData.files.length > 0 && add(event.clipboardData.files)}
      />
      <div className="flex items-center gap-2">
        <input
          ref={chooser}
          type="file"
          multiple
          className="hidden"
          aria-label="Attach files"
          disabled={isDisabled}
          onChange={(event) => {
            add(event.target.files ?? []);
            event.target.value = "";
          }}
        />
        <IconButton label="Attach files" disabled={isDisabled} onClick={() => chooser.current?.click()}>
          <Paperclip size={15} aria-hidden />
        </IconButton>
        <span className="mr-auto hidden text-xs text-muted sm:inline">
          Enter sends, Shift+Enter begins a line
        </span>
        <Button
          type="submit"
          look="primary"
          className="ml-auto"
          disabled={mayNotSend}
          isBusy={isBusy ?? false}
        >
          <ArrowUp size={15} aria-hidden />
          Send
        </Button>
      </div>
    </form>
  );
}

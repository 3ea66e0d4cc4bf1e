// "As of": shows every page as the state was at a commit, and says so for as long as it does.
import { useNavigate, useSearch } from "@tanstack/react-router";
import { History } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";

/** The commit in the address, and how to choose another: `null` is now. */
export function useAsOf(): [at: string | null, show: (at: string | null) => void] {
  const { at } = useSearch({ strict: false });
  const navigate = useNavigate();
  const show = (next: string | null) => {
    void navigate({ to: ".", search: (now) => ({ ...now, at: next ?? undefined }) });
  };
  return [at ?? null, show];
}

export function AsOfSwitch() {
  const [at, show] = useAsOf();
  const [isOpen, setIsOpen] = useState(false);
  const [text, setText] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setIsOpen(false);
    show(text.trim() || null);
  };
  const open = () => {
    setText(at ?? "");
    setIsOpen(true);
  };
  return (
    <>
      <Button
        look="quiet"
        onClick={open}
        aria-label={at ? `As of commit ${at}` : "As of now; show an earlier commit"}
      >
        <History size={15} aria-hidden />
        <span className="hidden sm:inline">{at ? at.slice(0, 8) : "Now"}</span>
      </Button>
      <Dialog title="Show an earlier commit" isOpen={isOpen} onClose={() => setIsOpen(false)}>
        <form className="flex flex-col gap-4" onSubmit={submit}>
          <Field
            label="Commit of the project's state"
            hint="Every page then shows what was so at that commit, and nothing can be changed."
            placeholder="3f2a91c4…"
            spellCheck={false}
            autoFocus
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
          <div className="flex justify-end gap-2">
            {at && (
              <Button
                onClick={() => {
                  setIsOpen(false);
                  show(null);
                }}
              >
                Return to now
              </Button>
            )}
            <Button type="submit" look="primary">
              Show it
            </Button>
          </div>
        </form>
      </Dialog>
    </>
  );
}

export function AsOfBanner() {
  const [at, show] = useAsOf();
  if (!at) return null;
  return (
    <div
      role="status"
      className="flex items-center gap-3 border-b border-line bg-warn-soft px-4 py-1.5 text-warn"
    >
      <History size={15} aria-hidden />
      <span className="min-w-0 flex-1 truncate">
        The state as of commit <code className="font-mono">{at.slice(0, 12)}</code>; it cannot be changed.
      </span>
      <Button onClick={() => show(null)}>Return to now</Button>
    </div>
  );
}

// The help: every key, and where the documentation is.
import { Dialog } from "../ui/Dialog.tsx";
import type { Shortcut } from "./keys.ts";

export function Help({
  shortcuts,
  isOpen,
  onClose,
}: {
  shortcuts: readonly Shortcut[];
  isOpen: boolean;
  onClose(): void;
}) {
  return (
    <Dialog title="Keys" isOpen={isOpen} onClose={onClose}>
      <dl className="grid grid-cols-[auto_1fr] items-center gap-x-5 gap-y-2">
        {shortcuts.map(({ keys, does }) => (
          <div key={keys} className="contents">
            <dt className="flex gap-1">
              {keys.split(" ").map((key) => (
                <kbd
                  key={key}
                  className="min-w-6 rounded border border-line-strong bg-code px-1.5 text-center font-mono text-xs leading-5"
                >
                  {key}
                </kbd>
              ))}
            </dt>
            <dd className="text-muted">{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

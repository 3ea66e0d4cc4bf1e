// A secret that the daemon shows once: to be copied now.
import { Command } from "./Copy.tsx";

export function ShownOnce({ text, children }: { text: string; children: React.ReactNode }) {
  return (
    <div className="flex flex-col gap-2" role="status">
      <p className="rounded-md bg-warn-soft px-3 py-2 text-warn">{children}</p>
      <Command text={text} what="it" />
    </div>
  );
}

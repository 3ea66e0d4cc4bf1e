// A part of a page of settings: what it is about, and a panel.
import { type ReactNode, useId } from "react";

interface Props {
  title: string;
  about?: ReactNode;
  /** What can be done, beside the title. */
  actions?: ReactNode;
  children: ReactNode;
}

export function Section({ title, about, actions, children }: Props) {
  const id = useId();
  return (
    <section aria-labelledby={id} className="flex flex-col gap-2">
      <div className="flex flex-wrap items-end gap-2">
        <div className="mr-auto min-w-0">
          <h2 id={id} className="font-semibold">
            {title}
          </h2>
          {about && <p className="text-muted">{about}</p>}
        </div>
        {actions}
      </div>
      <div className="rounded-lg border border-line bg-panel">{children}</div>
    </section>
  );
}

/** The column that sections stand in; it scrolls. */
export function Sections({ label, children }: { label: string; children: ReactNode }) {
  return (
    <section
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reachable by keyboard
      tabIndex={0}
      className="min-h-0 flex-1 overflow-y-auto outline-offset-[-2px]"
    >
      <div className="mx-auto flex max-w-3xl flex-col gap-8 px-4 py-6">{children}</div>
    </section>
  );
}

/** A line of a panel. */
export function Row({ children }: { children: ReactNode }) {
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-2 border-b border-line px-4 py-2.5 last:border-b-0">
      {children}
    </li>
  );
}

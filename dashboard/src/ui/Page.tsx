// The head of a page: its title, which is the tab's too, what filters it, and what can be done.
import { type ReactNode, useEffect } from "react";

interface Props {
  title: string;
  /** The project it is about. */
  of?: string;
  children?: ReactNode;
}

export function PageHead({ title, of, children }: Props) {
  useEffect(() => {
    document.title = [title, of, "MrX"].filter(Boolean).join(" · ");
  }, [title, of]);
  return (
    <div className="flex flex-wrap items-center gap-2 border-b border-line px-4 py-2.5">
      <h1 className="mr-auto min-w-0 truncate text-base font-semibold">
        {title}
        {of && <span className="ml-1 font-normal text-muted"> {of}</span>}
      </h1>
      {children}
    </div>
  );
}

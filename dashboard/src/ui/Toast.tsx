// Short notices of what came of a deed. They are read out, and go by themselves; a failure stays until it is closed.
import clsx from "clsx";
import { X } from "lucide-react";
import { createContext, type ReactNode, useCallback, useContext, useState } from "react";
import { IconButton } from "./Button.tsx";

interface Notice {
  tone: "good" | "bad";
  text: string;
}
const SHOWN_MS = 5000;
/** More would cover the page. */
const NOTICES_MAX = 4;

const ToastContext = createContext<(notice: Notice) => void>(() => {});

export function useToast() {
  return useContext(ToastContext);
}

/** Says that something was done, or why it was not: `onError: useFailed()`. */
export function useFailed() {
  const toast = useToast();
  return useCallback((error: Error) => toast({ tone: "bad", text: error.message }), [toast]);
}

let last = 0;

export function Toasts({ children }: { children: ReactNode }) {
  const [notices, setNotices] = useState<(Notice & { id: number })[]>([]);
  const close = useCallback((id: number) => setNotices((all) => all.filter((one) => one.id !== id)), []);
  const tell = useCallback(
    (notice: Notice) => {
      last += 1;
      const id = last;
      setNotices((all) => [...all.slice(1 - NOTICES_MAX), { ...notice, id }]);
      if (notice.tone === "good") setTimeout(() => close(id), SHOWN_MS);
    },
    [close],
  );
  return (
    <ToastContext value={tell}>
      {children}
      <section
        aria-label="Notices"
        aria-live="polite"
        className="pointer-events-none fixed right-4 bottom-4 z-50 flex w-80 max-w-[calc(100vw-2rem)] flex-col gap-2"
      >
        {notices.map(({ id, tone, text }) => (
          <div
            key={id}
            className={clsx(
              "pointer-events-auto flex items-start gap-2 rounded-lg border bg-raised py-2 pr-1 pl-3 shadow-lifted",
              tone === "bad" ? "border-bad text-bad" : "border-line",
            )}
          >
            <p className="flex-1 py-1 break-words">{text}</p>
            <IconButton label="Close the notice" onClick={() => close(id)}>
              <X size={14} aria-hidden />
            </IconButton>
          </div>
        ))}
      </section>
    </ToastContext>
  );
}

// A dialog: the browser's own, which keeps the focus inside and closes on Escape. (Libraries' dialogs write <style>, which the policy forbids.)
import { X } from "lucide-react";
import { type ReactNode, useEffect, useId, useRef } from "react";
import { Button, IconButton } from "./Button.tsx";

interface Props {
  title: string;
  isOpen: boolean;
  onClose(): void;
  children: ReactNode;
}

export function Dialog({ title, isOpen, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it; the click is on the backdrop
    <dialog
      ref={dialog}
      aria-labelledby={titleId}
      className="m-auto w-[min(32rem,calc(100vw-2rem))] rounded-xl border border-line bg-raised p-0 text-text shadow-lifted"
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      {isOpen && (
        <div className="p-5">
          <div className="mb-3 flex items-start justify-between gap-4">
            <h2 id={titleId} className="text-base font-semibold">
              {title}
            </h2>
            <IconButton label="Close" className="-mt-1 -mr-1" onClick={onClose}>
              <X size={16} aria-hidden />
            </IconButton>
          </div>
          {children}
        </div>
      )}
    </dialog>
  );
}

interface ConfirmProps extends Props {
  /** What the button says: the deed, not "OK". */
  deed: string;
  isBusy?: boolean;
  onConfirm(): void;
}

/** Asks before something that cannot be taken back. */
export function Confirm({ deed, isBusy, onConfirm, children, ...dialog }: ConfirmProps) {
  return (
    <Dialog {...dialog}>
      <div className="text-muted">{children}</div>
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={dialog.onClose}>Keep it</Button>
        <Button look="danger" isBusy={isBusy} onClick={onConfirm}>
          {deed}
        </Button>
      </div>
    </Dialog>
  );
}

// Text to be taken along: a button that copies it, and a command with such a button.
import { Check, Copy as CopyIcon } from "lucide-react";
import { useState } from "react";
import { IconButton } from "./Button.tsx";
import { useToast } from "./Toast.tsx";

const SHOWN_MS = 1500;

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [isDone, setIsDone] = useState(false);
  const toast = useToast();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setIsDone(true);
      setTimeout(() => setIsDone(false), SHOWN_MS);
    } catch {
      toast({ tone: "bad", text: "The browser does not let this page copy; select the text instead." });
    }
  };
  return (
    <IconButton label={isDone ? "Copied" : label} onClick={copy}>
      {isDone ? <Check size={14} aria-hidden /> : <CopyIcon size={14} aria-hidden />}
    </IconButton>
  );
}

/** `what` it is, for who hears the button: the command, if nothing is said. */
export function Command({ text, what = "the command" }: { text: string; what?: string }) {
  return (
    <div className="flex items-center gap-1 rounded-md border border-line bg-code py-0.5 pr-0.5 pl-3 text-left">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long command is scrolled by keyboard */}
      <code className="min-w-0 flex-1 overflow-x-auto font-mono text-xs whitespace-pre" tabIndex={0}>
        {text}
      </code>
      <CopyButton text={text} label={`Copy ${what}`} />
    </div>
  );
}

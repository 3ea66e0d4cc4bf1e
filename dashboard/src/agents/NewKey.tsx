// A key that was made just now, and how an agent starts with it. It is shown this once.
import { Download } from "lucide-react";
import { useEffect, useState } from "react";
import { Button, buttonClass } from "../ui/Button.tsx";
import { Command } from "../ui/Copy.tsx";
import { Dialog } from "../ui/Dialog.tsx";

interface Props {
  title: string;
  name: string;
  /** The key. */
  secret: string;
  labels: string[];
  onClose(): void;
}

export function NewKey({ title, name, secret, labels, onClose }: Props) {
  const file = `${name}.key`;
  return (
    <Dialog title={title} isOpen onClose={onClose}>
      <div className="flex flex-col gap-4">
        <div>
          <h3 className="mb-1 font-medium">Its key, which is shown this once</h3>
          <Command text={secret} />
        </div>
        <div>
          <h3 className="mb-1 font-medium">1. Put it into a file on the agent's machine</h3>
          <p className="mb-2 text-muted">
            Paste the key, then press Enter and Ctrl-D; or bring the file along.
          </p>
          <div className="flex flex-col gap-2">
            <Command text={`(umask 077; cat > ${file})`} />
            <KeyFile name={file} text={secret} />
          </div>
        </div>
        <div>
          <h3 className="mb-1 font-medium">2. Start the agent there</h3>
          <Command text={startCommand(name, labels)} />
        </div>
        <div className="flex justify-end">
          <Button look="primary" onClick={onClose}>
            I have kept the key
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

export function startCommand(name: string, labels: readonly string[]): string {
  const offers = labels.length > 0 ? [`--labels ${labels.join(",")}`] : [];
  const words = [`--daemon ${location.origin}`, `--name ${name}`, ...offers, `--token-file ${name}.key`];
  return ["mrx agent", ...words].join(" \\\n  ");
}

function KeyFile({ name, text }: { name: string; text: string }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/plain" }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [text]);
  return (
    <a href={url} download={name} className={buttonClass("plain", "self-start")}>
      <Download size={15} aria-hidden />
      Download {name}
    </a>
  );
}

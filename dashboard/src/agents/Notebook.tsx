// How a notebook becomes an agent: a one-time code, and the cell to run.
import { Button } from "../ui/Button.tsx";
import { Command, CopyButton } from "../ui/Copy.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { clock } from "../ui/Time.tsx";

interface Props {
  name: string;
  labels: string[];
  code: string;
  /** When the code ends. */
  until: string;
  onClose(): void;
}

export function Notebook({ name, labels, code, until, onClose }: Props) {
  const text = cell(name, labels);
  return (
    <Dialog title={`Pair the notebook ${name}`} isOpen onClose={onClose}>
      <div className="flex flex-col gap-4">
        <p className="rounded-md bg-warn-soft px-3 py-2 text-warn">
          The terms of free Google Colab may forbid workers like this one. Read them first; a paid plan or a
          Jupyter server of yours serves as well. Jobs run there without a sandbox.
        </p>
        <div>
          <h3 className="mb-1 font-medium">1. Run this cell</h3>
          <div className="relative rounded-md border border-line bg-code">
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reachable by keyboard */}
            <pre className="max-h-56 overflow-auto p-3 pr-12 font-mono text-xs" tabIndex={0}>
              {text}
            </pre>
            <span className="absolute top-1 right-1">
              <CopyButton text={text} label="Copy the cell" />
            </span>
          </div>
          <p className="mt-1 text-xs text-muted">
            Each job of type build runs <code>sh build.sh</code> of the project's code; change it as you like.
          </p>
        </div>
        <div>
          <h3 className="mb-1 font-medium">2. Give it this code, good once and until {clock(until)}</h3>
          <Command text={code} />
        </div>
        <div className="flex justify-end">
          <Button look="primary" onClick={onClose}>
            Done
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

const BUILD =
  'git clone --quiet -- "$(python3 -c \'import json,sys; print(json.load(sys.stdin)["code"]["url"])\')" code && cd code && sh build.sh';

export function cell(name: string, labels: readonly string[]): string {
  return [
    "import getpass, urllib.request",
    `SERVER, NAME = ${JSON.stringify(location.origin)}, ${JSON.stringify(name)}`,
    'urllib.request.urlretrieve(SERVER + "/agent.py", "mrx_agent.py")',
    "import mrx_agent",
    "agent = mrx_agent.Agent(",
    `    SERVER, NAME, ["sh", "-c", ${JSON.stringify(BUILD)}],`,
    `    labels=${JSON.stringify(labels)}, types=["build"], available_minutes=600,`,
    ")",
    'agent.pair(getpass.getpass("The code: "))',
    "agent.run()",
  ].join("\n");
}

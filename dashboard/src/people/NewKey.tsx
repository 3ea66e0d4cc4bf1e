// Makes an API key and shows it, once.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import { reading, type Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field, SelectField } from "../ui/Field.tsx";
import { ShownOnce } from "../ui/ShownOnce.tsx";

const DAY_MS = 24 * 3600 * 1000;
const PERMISSIONS = [
  { value: "read", text: "Read" },
  { value: "write", text: "Read and write" },
  { value: "admin", text: "All that I may" },
] as const satisfies { value: Schemas["Right"]; text: string }[];
const ENDS = [
  { value: "30", text: "In 30 days" },
  { value: "90", text: "In 90 days" },
  { value: "365", text: "In a year" },
  { value: "", text: "Never" },
] as const;
/** So many projects are offered; a key for another one is made with the API. */
const PROJECTS_MAX = 200;

export function NewKey({ isDisabled }: { isDisabled: boolean }) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <Button look="primary" disabled={isDisabled} onClick={() => setIsOpen(true)}>
        <Plus size={15} aria-hidden />
        New key
      </Button>
      <Dialog title="New API key" isOpen={isOpen} onClose={() => setIsOpen(false)}>
        <Form onDone={() => setIsOpen(false)} />
      </Dialog>
    </>
  );
}

function Form({ onDone }: { onDone(): void }) {
  const [name, setName] = useState("");
  const [permission, setPermission] = useState<Schemas["Right"]>("read");
  const [projectId, setProject] = useState("");
  const [days, setDays] = useState("90");
  const projects = useQuery(reading("/projects", { params: { query: { limit: PROJECTS_MAX } } }));
  const make = useMutation({
    gcTime: 0,
    mutationFn: () =>
      client.POST("/keys", {
        body: {
          name: name.trim(),
          permission,
          ...(projectId && { projectId }),
          ...(days && { expiresAt: new Date(Date.now() + Number(days) * DAY_MS).toISOString() }),
        },
      }),
  });
  const made = make.data?.data as Schemas["NewKeyView"] | undefined;
  if (made) {
    return (
      <div className="flex flex-col gap-4">
        <ShownOnce text={made.key}>
          This is the key {made.name}. Copy it now: it is not shown again.
        </ShownOnce>
        <Button look="primary" className="self-end" onClick={onDone}>
          I have it
        </Button>
      </div>
    );
  }
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        make.mutate();
      }}
    >
      <Field
        label="Name"
        hint="What it is for"
        required
        autoFocus
        maxLength={100}
        placeholder="Nightly report"
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <div className="grid gap-4 sm:grid-cols-2">
        <SelectField
          label="It may"
          options={PERMISSIONS}
          value={permission}
          onChange={(event) => setPermission(event.target.value as Schemas["Right"])}
        />
        <SelectField
          label="It ends"
          options={ENDS}
          value={days}
          onChange={(event) => setDays(event.target.value)}
        />
      </div>
      <SelectField
        label="In"
        options={[
          { value: "", text: "All projects of mine" },
          ...(projects.data?.projects ?? []).map((one) => ({ value: one.projectId, text: one.projectId })),
        ]}
        value={projectId}
        onChange={(event) => setProject(event.target.value)}
      />
      <Refusal error={make.error} />
      <Button type="submit" look="primary" className="self-end" isBusy={make.isPending}>
        Make the key
      </Button>
    </form>
  );
}

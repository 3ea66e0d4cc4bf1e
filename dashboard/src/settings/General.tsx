// What people say of a project, how many of its jobs run at once, and which artifacts it keeps.
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Field } from "../ui/Field.tsx";
import { Section } from "../ui/Section.tsx";
import { TextArea } from "../ui/TextArea.tsx";
import { useToast } from "../ui/Toast.tsx";

interface Draft {
  title: string;
  description: string;
  defaultBranch: string;
  concurrency: string;
  keepBuilds: string;
  keepDays: string;
}

function draftOf(project: Schemas["Project"]): Draft {
  return {
    title: project.title ?? "",
    description: project.description ?? "",
    defaultBranch: project.defaultBranch,
    concurrency: text(project.concurrency),
    keepBuilds: text(project.retention?.keepBuilds),
    keepDays: text(project.retention?.keepDays),
  };
}

const text = (value: number | null | undefined) => (typeof value === "number" ? String(value) : "");
const count = (value: string) => (value.trim() === "" ? null : Number(value));

/** Only what was changed is sent: what is absent stays, what is empty goes back to what it is by itself. */
function edited(before: Draft, draft: Draft): Schemas["ProjectEdit"] {
  const isNew = (name: keyof Draft) => draft[name].trim() !== before[name].trim();
  const edit: Schemas["ProjectEdit"] = {};
  for (const name of ["title", "description", "defaultBranch"] as const) {
    if (isNew(name)) edit[name] = draft[name].trim() || null;
  }
  if (isNew("concurrency")) edit.concurrency = count(draft.concurrency);
  if (isNew("keepBuilds") || isNew("keepDays")) {
    const [keepBuilds, keepDays] = [count(draft.keepBuilds), count(draft.keepDays)];
    edit.retention =
      keepBuilds === null && keepDays === null
        ? null
        : { ...(keepBuilds !== null && { keepBuilds }), ...(keepDays !== null && { keepDays }) };
  }
  return edit;
}

interface Props {
  project: Schemas["Project"];
  mayManage: boolean;
}

export function General(props: Props) {
  // What somebody else saves meanwhile shows; what else happens to the project leaves the draft as it is.
  return <Form key={JSON.stringify(draftOf(props.project))} {...props} />;
}

function Form({ project, mayManage }: Props) {
  const before = draftOf(project);
  const [draft, setDraft] = useState(before);
  const toast = useToast();
  const edit = edited(before, draft);
  const save = useMutation({
    mutationFn: () =>
      client.PATCH("/projects/{id}", { params: { path: { id: project.projectId } }, body: edit }),
    onSuccess: () => toast({ tone: "good", text: "The settings are saved." }),
  });
  const bind = (name: keyof Draft) => ({
    value: draft[name],
    disabled: !mayManage,
    onChange: (event: { target: { value: string } }) => setDraft({ ...draft, [name]: event.target.value }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Section title="General">
      <form className="grid gap-4 p-4 sm:grid-cols-2" onSubmit={submit}>
        <Field label="Title" maxLength={100} placeholder={project.projectId} {...bind("title")} />
        <Field label="Default branch" hint="Built if a job names none" {...bind("defaultBranch")} />
        <TextArea
          label="What it is about"
          className="sm:col-span-2"
          rows={3}
          maxLength={2000}
          {...bind("description")}
        />
        <Field
          label="Jobs at once"
          hint="Any number if empty"
          type="number"
          min={1}
          max={1000}
          {...bind("concurrency")}
        />
        <div className="hidden sm:block" />
        <Field
          label="Keep the artifacts of the last … builds"
          hint="All for ever if both are empty"
          type="number"
          min={1}
          max={10_000}
          {...bind("keepBuilds")}
        />
        <Field
          label="Keep artifacts for … days"
          hint="What either rule keeps is kept"
          type="number"
          min={1}
          max={3650}
          {...bind("keepDays")}
        />
        <div className="flex flex-col gap-3 sm:col-span-2">
          <Refusal error={save.error} />
          <Button
            type="submit"
            look="primary"
            className="self-end"
            disabled={!mayManage || Object.keys(edit).length === 0}
            isBusy={save.isPending}
          >
            Save the changes
          </Button>
        </div>
      </form>
    </Section>
  );
}

// Whether a fork's jobs are handed out: it rests until somebody starts it.
import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Section } from "../ui/Section.tsx";
import { useToast } from "../ui/Toast.tsx";

interface Props {
  id: string;
  of: Schemas["ForkOf"];
  mayManage: boolean;
}

export function Fork({ id, of, mayManage }: Props) {
  const toast = useToast();
  const run = !of.run;
  const change = useMutation({
    mutationFn: () => client.PATCH("/projects/{id}", { params: { path: { id } }, body: { run } }),
    onSuccess: () => toast({ tone: "good", text: run ? "Its jobs are handed out." : "It rests." }),
  });
  return (
    <Section title="Fork">
      <div className="flex flex-wrap items-center gap-3 p-4">
        <p className="min-w-48 flex-1 text-muted">
          It is a fork of{" "}
          <Link to="/projects/$id" params={{ id: of.project }} className="text-accent underline">
            {of.project}
          </Link>{" "}
          {of.run
            ? "and runs: its jobs are handed out."
            : "and rests: its jobs are not handed out. When it is started, the jobs that were open there become its own; its schedules stay off."}
        </p>
        <Button disabled={!mayManage} isBusy={change.isPending} onClick={() => change.mutate()}>
          {of.run ? "Let it rest" : "Start it"}
        </Button>
        <Refusal error={change.error} />
      </div>
    </Section>
  );
}

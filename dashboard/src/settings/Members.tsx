// Who has which right in a project. Admins of the platform may do everything and are not listed.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { X } from "lucide-react";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import { reading, type Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { useSession } from "../session/session.ts";
import { Button, IconButton } from "../ui/Button.tsx";
import { Choice, Field } from "../ui/Field.tsx";
import { Row, Section } from "../ui/Section.tsx";
import { useFailed } from "../ui/Toast.tsx";

type Right = Schemas["Right"];
const RIGHTS = [
  { value: "read", text: "Read" },
  { value: "write", text: "Write" },
  { value: "admin", text: "Manage" },
] as const satisfies { value: Right; text: string }[];

interface Change {
  user: string;
  /** None takes it away. */
  right: Right | null;
}

function useChangeMember(id: string) {
  const queries = useQueryClient();
  return useMutation({
    async mutationFn({ user, right }: Change) {
      const params = { path: { id, user } };
      if (right) await client.PUT("/projects/{id}/members/{user}", { params, body: { right } });
      else await client.DELETE("/projects/{id}/members/{user}", { params });
    },
    onSuccess: () => queries.invalidateQueries(reading("/projects/{id}", { params: { path: { id } } })),
  });
}

export function Members({ project, mayManage }: { project: Schemas["Project"]; mayManage: boolean }) {
  const failed = useFailed();
  const change = useChangeMember(project.projectId);
  const members = project.members ?? [];
  return (
    <Section
      title="Members"
      about="Admins of the platform may do everything in each project. Viewers read at most, whatever stands here."
    >
      <ul aria-label="Members">
        {members.map(({ user, right }) => (
          <Row key={user}>
            <span className="mr-auto font-medium">{user}</span>
            <Choice
              label={`Right of ${user}`}
              options={RIGHTS}
              value={right}
              disabled={!mayManage}
              onChange={(event) =>
                change.mutate({ user, right: event.target.value as Right }, { onError: failed })
              }
            />
            <IconButton
              label={`Remove ${user}`}
              disabled={!mayManage}
              onClick={() => change.mutate({ user, right: null }, { onError: failed })}
            >
              <X size={15} aria-hidden />
            </IconButton>
          </Row>
        ))}
      </ul>
      {members.length === 0 && <p className="px-4 py-3 text-muted">Nobody yet.</p>}
      {mayManage && <AddMember id={project.projectId} />}
    </Section>
  );
}

function AddMember({ id }: { id: string }) {
  const [user, setUser] = useState("");
  const [right, setRight] = useState<Right>("write");
  const change = useChangeMember(id);
  const { role } = useSession();
  const people = useQuery({ ...reading("/admin/users"), enabled: role === "admin" });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate({ user: user.trim(), right }, { onSuccess: () => setUser("") });
  };
  return (
    <form className="flex flex-col gap-3 border-t border-line p-4" onSubmit={submit}>
      <div className="flex flex-wrap items-end gap-2">
        <Field
          label="Add a member"
          className="min-w-40 flex-1"
          placeholder="Name"
          list="people"
          required
          value={user}
          onChange={(event) => setUser(event.target.value)}
        />
        <datalist id="people">
          {people.data?.users.map(({ name }) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <Choice
          label="Right of the new member"
          options={RIGHTS}
          value={right}
          onChange={(event) => setRight(event.target.value as Right)}
        />
        <Button type="submit" isBusy={change.isPending}>
          Add
        </Button>
      </div>
      <Refusal error={change.error} />
    </form>
  );
}

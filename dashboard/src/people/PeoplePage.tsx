// People: who has an account, in which role, and who is invited. For admins.
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { SearchX } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import { readingPages, type Schemas } from "../api/read.ts";
import { useIsNow, useSession } from "../session/session.ts";
import { Badge } from "../ui/Badge.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Choice, inputClass } from "../ui/Field.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Row, Section, Sections } from "../ui/Section.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { useFailed } from "../ui/Toast.tsx";
import { AddUser, ResetPassword } from "./Accounts.tsx";
import { Invites } from "./Invites.tsx";
import { ROLES } from "./roles.ts";

export default function PeoplePage() {
  const isNow = useIsNow();
  const [q, setQ] = useState("");
  const people = useInfiniteQuery(readingPages("/admin/users", {}));
  const all = people.data?.flatMap((page) => page.users) ?? [];
  const found = all.filter(({ name, email }) =>
    `${name} ${email ?? ""}`.toLowerCase().includes(q.trim().toLowerCase()),
  );
  return (
    <>
      <PageHead title="People">
        <input
          data-search
          type="search"
          aria-label="Search people"
          placeholder="Search  /"
          className={`${inputClass} max-w-56`}
          value={q}
          onChange={(event) => setQ(event.target.value)}
        />
        <AddUser isDisabled={!isNow} />
      </PageHead>
      {people.isError ? (
        <ErrorNote error={people.error} onRetry={() => void people.refetch()} />
      ) : (
        <Sections label="People">
          <Section
            title="Accounts"
            about="Admins may do everything. Developers make projects. Viewers read what they are members of."
          >
            {people.isPending && <SkeletonRows rows={4} />}
            {people.isSuccess && found.length === 0 && (
              <Empty icon={SearchX} title={`Nobody is like “${q}”`} />
            )}
            <ul aria-label="Accounts">
              {found.map((user) => (
                <UserRow key={user.name} user={user} isNow={isNow} />
              ))}
            </ul>
            {people.hasNextPage && (
              <Button look="quiet" className="m-2" onClick={() => void people.fetchNextPage()}>
                More
              </Button>
            )}
          </Section>
          <Invites isNow={isNow} />
        </Sections>
      )}
    </>
  );
}

function UserRow({ user, isNow }: { user: Schemas["UserView"]; isNow: boolean }) {
  const me = useSession();
  const failed = useFailed();
  const [isResetting, setIsResetting] = useState(false);
  const change = useMutation({
    mutationFn: (body: Schemas["ChangeUserBody"]) =>
      client.PATCH("/admin/users/{name}", { params: { path: { name: user.name } }, body }),
    onError: failed,
  });
  const isDisabled = Boolean(user.disabledAt);
  const isSelf = me.user?.name === user.name;
  return (
    <Row>
      <div className="mr-auto min-w-40 flex-1">
        <span className="flex flex-wrap items-center gap-2">
          <span className="font-medium">{user.name}</span>
          {isSelf && <Badge tone="busy">you</Badge>}
          {isDisabled && <Badge tone="warn">disabled</Badge>}
        </span>
        <span className="block truncate text-xs text-muted">
          {user.email && `${user.email} · `}
          {user.issuer && `by ${user.issuer} · `}since <Time at={user.createdAt} />
        </span>
      </div>
      <Choice
        label={`Role of ${user.name}`}
        options={ROLES}
        disabled={!isNow || change.isPending}
        value={change.isPending && change.variables.role ? change.variables.role : user.role}
        onChange={(event) => change.mutate({ role: event.target.value as Schemas["Role"] })}
      />
      <span className="flex gap-2">
        <Button
          disabled={!isNow || !user.hasPassword}
          aria-label={`Reset password of ${user.name}`}
          onClick={() => setIsResetting(true)}
        >
          Reset password
        </Button>
        <Button
          look={isDisabled ? "plain" : "danger"}
          className="w-20"
          disabled={!isNow || isSelf}
          isBusy={change.isPending}
          aria-label={`${isDisabled ? "Enable" : "Disable"} ${user.name}`}
          onClick={() => change.mutate({ disabled: !isDisabled })}
        >
          {isDisabled ? "Enable" : "Disable"}
        </Button>
      </span>
      <Dialog
        title={`Reset password of ${user.name}`}
        isOpen={isResetting}
        onClose={() => setIsResetting(false)}
      >
        <ResetPassword name={user.name} onDone={() => setIsResetting(false)} />
      </Dialog>
    </Row>
  );
}

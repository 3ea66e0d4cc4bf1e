// Invitations: links that make an account, once, for seven days.
import { useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";
import { UserPlus } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import { reading, readingPages, type Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Badge } from "../ui/Badge.tsx";
import { Button } from "../ui/Button.tsx";
import { Command } from "../ui/Copy.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { SelectField } from "../ui/Field.tsx";
import { Row, Section } from "../ui/Section.tsx";
import { ShownOnce } from "../ui/ShownOnce.tsx";
import { ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { useFailed } from "../ui/Toast.tsx";
import { ROLES } from "./roles.ts";

export function Invites({ isNow }: { isNow: boolean }) {
  const [isOpen, setIsOpen] = useState(false);
  const { data: options } = useQuery(reading("/auth/options"));
  const invites = useInfiniteQuery(readingPages("/admin/invites", {}));
  const all = invites.data?.flatMap((page) => page.invites) ?? [];
  const isOff = options?.registration === "off";
  return (
    <Section
      title="Invitations"
      about="Whoever opens the link makes an account of that role, once, within seven days."
      actions={
        <Button disabled={!isNow || isOff} onClick={() => setIsOpen(true)}>
          <UserPlus size={14} aria-hidden />
          Invite
        </Button>
      }
    >
      {isOff && (
        <div className="flex flex-col gap-2 p-4 text-muted">
          <p>Nobody can register here. To let who is invited do so, start the daemon with</p>
          <Command text="mrx serve --registration invite" />
        </div>
      )}
      {invites.isPending && <SkeletonRows rows={2} />}
      {invites.isError && <ErrorNote error={invites.error} onRetry={() => void invites.refetch()} />}
      {invites.isSuccess && all.length === 0 && !isOff && (
        <p className="px-4 py-3 text-muted">No invitation is open.</p>
      )}
      <ul aria-label="Invitations">
        {all.map((invite) => (
          <InviteRow key={invite.inviteId} invite={invite} isNow={isNow} />
        ))}
      </ul>
      {invites.hasNextPage && (
        <Button look="quiet" className="m-2" onClick={() => void invites.fetchNextPage()}>
          More
        </Button>
      )}
      <Dialog title="Invite somebody" isOpen={isOpen} onClose={() => setIsOpen(false)}>
        <Invite onDone={() => setIsOpen(false)} />
      </Dialog>
    </Section>
  );
}

function InviteRow({ invite, isNow }: { invite: Schemas["InviteView"]; isNow: boolean }) {
  const failed = useFailed();
  const revoke = useMutation({
    mutationFn: () =>
      client.DELETE("/admin/invites/{inviteId}", { params: { path: { inviteId: invite.inviteId } } }),
    onError: failed,
  });
  return (
    <Row>
      <span className="mr-auto flex flex-wrap items-center gap-2">
        <Badge>{invite.role}</Badge>
        <span className="text-xs text-muted">
          by {invite.createdBy} <Time at={invite.createdAt} /> · ends <Time at={invite.expiresAt} />
        </span>
      </span>
      <Button
        look="danger"
        disabled={!isNow}
        isBusy={revoke.isPending}
        aria-label={`Revoke the invitation of a ${invite.role}`}
        onClick={() => revoke.mutate()}
      >
        Revoke
      </Button>
    </Row>
  );
}

function Invite({ onDone }: { onDone(): void }) {
  const [role, setRole] = useState<Schemas["Role"]>("viewer");
  const invite = useMutation({
    gcTime: 0,
    mutationFn: () => client.POST("/admin/invites", { body: { role } }),
  });
  const token = invite.data?.data?.token;
  if (token) {
    return (
      <div className="flex flex-col gap-4">
        <ShownOnce text={`${location.origin}/ui/register#${encodeURIComponent(token)}`}>
          Send this link to whom you invite. It is not shown again, and is good once.
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
        invite.mutate();
      }}
    >
      <SelectField
        label="Role"
        options={ROLES}
        value={role}
        onChange={(event) => setRole(event.target.value as Schemas["Role"])}
      />
      <Refusal error={invite.error} />
      <Button type="submit" look="primary" className="self-end" isBusy={invite.isPending}>
        Make the link
      </Button>
    </form>
  );
}

// One's own API keys: made, shown once, revoked; and one's password.
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import { readingPages, type Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { useIsNow, useSession } from "../session/session.ts";
import { Badge } from "../ui/Badge.tsx";
import { Button } from "../ui/Button.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { PageHead } from "../ui/Page.tsx";
import { Row, Section, Sections } from "../ui/Section.tsx";
import { Empty, ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { Time } from "../ui/Time.tsx";
import { NewKey } from "./NewKey.tsx";
import { OwnPassword } from "./OwnPassword.tsx";

export default function KeysPage() {
  const isNow = useIsNow();
  const me = useSession();
  const keys = useInfiniteQuery(readingPages("/keys", {}));
  const all = keys.data?.flatMap((page) => page.keys) ?? [];
  return (
    <>
      <PageHead title="API keys">
        <NewKey isDisabled={!isNow} />
      </PageHead>
      {keys.isError ? (
        <ErrorNote error={keys.error} onRetry={() => void keys.refetch()} />
      ) : (
        <Sections label="API keys and password">
          <Section title="API keys" about="For programs and git. A key never may more than you.">
            {keys.isPending && <SkeletonRows rows={3} />}
            {keys.isSuccess && all.length === 0 && (
              <Empty
                icon={KeyRound}
                title="No keys yet"
                command={`curl -H "Authorization: Bearer $MRX_TOKEN" ${location.origin}/projects`}
              >
                A program sends its key with each call:
              </Empty>
            )}
            <ul aria-label="API keys">
              {all.map((key) => (
                <KeyRow key={key.keyId} view={key} isNow={isNow} />
              ))}
            </ul>
            {keys.hasNextPage && (
              <Button look="quiet" className="m-2" onClick={() => void keys.fetchNextPage()}>
                More
              </Button>
            )}
          </Section>
          {me.user?.hasPassword && <OwnPassword isNow={isNow} />}
        </Sections>
      )}
    </>
  );
}

function KeyRow({ view, isNow }: { view: Schemas["KeyView"]; isNow: boolean }) {
  const [isAsking, setIsAsking] = useState(false);
  const revoke = useMutation({
    mutationFn: () => client.DELETE("/keys/{keyId}", { params: { path: { keyId: view.keyId } } }),
    onSuccess: () => setIsAsking(false),
  });
  return (
    <Row>
      <div className="mr-auto min-w-40 flex-1">
        <span className="flex flex-wrap items-center gap-2">
          <span className="font-medium">{view.name}</span>
          <Badge>{view.permission}</Badge>
          {view.projectId && <Badge tone="busy">{view.projectId}</Badge>}
        </span>
        <span className="block text-xs text-muted">
          made <Time at={view.createdAt} /> ·{" "}
          {view.lastUsedAt ? (
            <>
              last used <Time at={view.lastUsedAt} />
            </>
          ) : (
            "not used yet"
          )}
          {view.expiresAt && (
            <>
              {" · ends "}
              <Time at={view.expiresAt} />
            </>
          )}
        </span>
      </div>
      <Button
        look="danger"
        disabled={!isNow}
        aria-label={`Revoke ${view.name}`}
        onClick={() => setIsAsking(true)}
      >
        Revoke
      </Button>
      <Confirm
        title={`Revoke ${view.name}?`}
        isOpen={isAsking}
        onClose={() => setIsAsking(false)}
        deed="Revoke it"
        isBusy={revoke.isPending}
        onConfirm={() => revoke.mutate()}
      >
        Programs that use it are refused at once.
        <Refusal error={revoke.error} />
      </Confirm>
    </Row>
  );
}

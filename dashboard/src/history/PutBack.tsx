// Puts one thing back to what it was: first says what would change, then does it.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/client.ts";
import type { ApiError } from "../api/error.ts";
import { reading, type Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Skeleton } from "../ui/States.tsx";
import { useToast } from "../ui/Toast.tsx";
import { Changes } from "./Changes.tsx";
import { nameOf } from "./things.tsx";

interface Props {
  project: string;
  entity: Schemas["EntityDiff"];
  /** The commit that changed it. */
  oid: string;
  onClose(): void;
}

export function PutBack({ project, entity, oid, onClose }: Props) {
  const [isBefore, setIsBefore] = useState(entity.change !== "added");
  const before = useQuery(
    reading("/projects/{id}/history", {
      params: { path: { id: project }, query: { cursor: oid, limit: 1 } },
    }),
  );
  const to = isBefore ? before.data?.commits[0]?.commit : oid;
  return (
    <Dialog title={`Put the ${entity.kind} back`} isOpen onClose={onClose}>
      <fieldset className="mb-4 flex flex-col gap-1.5">
        <legend className="sr-only">To when</legend>
        {entity.change !== "added" && (
          <Moment isChosen={isBefore} onChoose={() => setIsBefore(true)}>
            As it was before this commit
          </Moment>
        )}
        {entity.change !== "removed" && (
          <Moment isChosen={!isBefore} onChoose={() => setIsBefore(false)}>
            As this commit made it
          </Moment>
        )}
      </fieldset>
      {to ? (
        <Preview key={to} project={project} entity={entity} to={to} onClose={onClose} />
      ) : (
        <Skeleton className="h-24 w-full" />
      )}
    </Dialog>
  );
}

function Moment(props: { isChosen: boolean; onChoose(): void; children: string }) {
  return (
    <label className="flex items-center gap-2">
      <input type="radio" name="moment" checked={props.isChosen} onChange={props.onChoose} />
      {props.children}
    </label>
  );
}

function Preview({ project, entity, to, onClose }: Omit<Props, "oid"> & { to: string }) {
  const toast = useToast();
  const call = async (dryRun: boolean) => {
    const params = { path: { id: project }, query: { dryRun } };
    const body = { ...nameOf(entity), to } as Schemas["RevertBody"];
    const { data } = await client.POST("/projects/{id}/revert", { params, body });
    return data as Schemas["RevertView"];
  };
  // What would change now: read anew each time the dialog opens.
  const preview = useQuery<Schemas["RevertView"], ApiError>({
    queryKey: ["preview", nameOf(entity), to],
    queryFn: () => call(true),
    gcTime: 0,
    retry: false,
  });
  const put = useMutation({
    mutationFn: () => call(false),
    onSuccess() {
      toast({ tone: "good", text: `The ${entity.kind} is as it was.` });
      onClose();
    },
  });
  const isNothing = preview.data?.entities.length === 0;
  return (
    <>
      <h3 className="mb-2 font-medium">What would change</h3>
      {preview.isPending && <Skeleton className="h-24 w-full" />}
      <Refusal error={preview.error} />
      {isNothing && <p className="text-muted">Nothing: it is so now.</p>}
      {preview.data && !isNothing && (
        <div className="max-h-[50vh] overflow-y-auto">
          <Changes entities={preview.data.entities} files={[]} />
        </div>
      )}
      <div className="mt-3">
        <Refusal error={put.error} />
      </div>
      <div className="mt-4 flex justify-end gap-2">
        <Button onClick={onClose}>Leave it</Button>
        <Button
          look="primary"
          disabled={!preview.data || isNothing}
          isBusy={put.isPending}
          onClick={() => put.mutate()}
        >
          Put it back
        </Button>
      </div>
    </>
  );
}

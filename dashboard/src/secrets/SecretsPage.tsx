// A project's secrets: names, kinds and who can decrypt them. Values go in, and never come out.
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { reading } from "../api/read.ts";
import { useMayWrite } from "../session/may-write.ts";
import { useSession } from "../session/session.ts";
import { PageHead } from "../ui/Page.tsx";
import { ErrorNote } from "../ui/States.tsx";
import { AddSecret } from "./AddSecret.tsx";
import { SecretList } from "./SecretList.tsx";

export default function SecretsPage() {
  const { id } = useParams({ from: "/shell/projects/$id/secrets" });
  const { role } = useSession();
  const { mayWrite: mayManage } = useMayWrite(id, "admin");
  const secrets = useQuery(reading("/admin/secrets/{id}", { params: { path: { id } } }));
  return (
    <>
      <PageHead title="Secrets" of={id}>
        <AddSecret
          project={id}
          isDisabled={!mayManage || role !== "admin"}
          reason={
            role === "admin"
              ? undefined
              : "Admins of the platform store secrets; who manages the project rotates and deletes them"
          }
        />
      </PageHead>
      {secrets.isError ? (
        <ErrorNote error={secrets.error} onRetry={() => void secrets.refetch()} />
      ) : (
        <SecretList
          owner={id}
          secrets={secrets.data?.secrets}
          mayManage={mayManage}
          command={`mrx secrets set ${id} signing-key`}
        />
      )}
    </>
  );
}

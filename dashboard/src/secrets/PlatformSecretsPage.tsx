// The platform's secrets, which every project has unless it has one of that name; and who can decrypt all of them.
import { useQuery } from "@tanstack/react-query";
import { reading } from "../api/read.ts";
import { useIsNow } from "../session/session.ts";
import { PageHead } from "../ui/Page.tsx";
import { ErrorNote } from "../ui/States.tsx";
import { AddSecret } from "./AddSecret.tsx";
import { Recipients } from "./Recipients.tsx";
import { SecretList } from "./SecretList.tsx";

export default function PlatformSecretsPage() {
  const isNow = useIsNow();
  const secrets = useQuery(reading("/admin/secrets/{id}", { params: { path: { id: "platform" } } }));
  return (
    <>
      <PageHead title="Default secrets">
        <AddSecret project={null} isDisabled={!isNow} />
      </PageHead>
      {secrets.isError ? (
        <ErrorNote error={secrets.error} onRetry={() => void secrets.refetch()} />
      ) : (
        <SecretList
          owner="platform"
          secrets={secrets.data?.secrets}
          mayManage={isNow}
          command="mrx secrets set platform llm"
        >
          <Recipients />
        </SecretList>
      )}
    </>
  );
}

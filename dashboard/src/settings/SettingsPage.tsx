// A project's settings: what people say of it, what it keeps, who may do what, how to clone it, and the trash.
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { reading } from "../api/read.ts";
import { useMayWrite } from "../session/may-write.ts";
import { PageHead } from "../ui/Page.tsx";
import { Sections } from "../ui/Section.tsx";
import { ErrorNote, SkeletonRows } from "../ui/States.tsx";
import { Clone } from "./Clone.tsx";
import { Fork } from "./Fork.tsx";
import { General } from "./General.tsx";
import { Members } from "./Members.tsx";
import { PromptEditor } from "./PromptEditor.tsx";
import { Trash } from "./Trash.tsx";

export default function SettingsPage() {
  const { id } = useParams({ from: "/shell/projects/$id/settings" });
  const project = useQuery(reading("/projects/{id}", { params: { path: { id } } }));
  const { mayWrite: mayManage } = useMayWrite(id, "admin");
  return (
    <>
      <PageHead title="Settings" of={id} />
      {project.isPending && <SkeletonRows />}
      {project.isError && <ErrorNote error={project.error} onRetry={() => void project.refetch()} />}
      {project.data && (
        <Sections key={id} label="Settings of the project">
          {!mayManage && (
            <p role="note" className="rounded-md bg-warn-soft px-3 py-2 text-warn">
              You see these settings; who manages the project, at the present, can change them.
            </p>
          )}
          <General project={project.data} mayManage={mayManage && !project.data.trashedAt} />
          <PromptEditor id={id} mayManage={mayManage} />
          <Members project={project.data} mayManage={mayManage} />
          <Clone project={project.data} />
          {project.data.forkOf && (
            <Fork
              id={project.data.projectId}
              of={project.data.forkOf}
              mayManage={mayManage && !project.data.trashedAt}
            />
          )}
          <Trash project={project.data} mayManage={mayManage} />
        </Sections>
      )}
    </>
  );
}

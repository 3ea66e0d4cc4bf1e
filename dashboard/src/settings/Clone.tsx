// How to get a project's code, and its state, with plain git.
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/read.ts";
import { repoName } from "../projects/repo.ts";
import { Command } from "../ui/Copy.tsx";
import { Section } from "../ui/Section.tsx";

export function Clone({ project }: { project: Schemas["Project"] }) {
  const { projectId } = project;
  const git = `${location.origin}/git`;
  return (
    <Section
      title="Clone"
      about={
        <>
          Git asks for a user name, which may be anything, and a password, which is an{" "}
          <Link to="/keys" className="text-accent underline">
            API key
          </Link>
          .
        </>
      }
    >
      <dl className="flex flex-col gap-4 p-4">
        <div className="flex flex-col gap-1">
          <dt className="font-medium">The code</dt>
          <dd className="flex flex-col gap-1">
            <span className="text-xs break-all text-muted">{repoName(project)}</span>
            <Command text={`git clone ${git}/code/${projectId}.git`} />
          </dd>
        </div>
        <div className="flex flex-col gap-1">
          <dt className="font-medium">The state: its jobs, chats and settings as files</dt>
          <dd>
            <Command text={`git clone --branch state ${git}/${projectId}.git ${projectId}-state`} />
          </dd>
        </div>
      </dl>
    </Section>
  );
}

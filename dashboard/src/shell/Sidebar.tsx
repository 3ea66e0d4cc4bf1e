// Where one can go: the platform's places, and those of the current project.
import { Link } from "@tanstack/react-router";
import { useSession } from "../session/session.ts";
import { useCurrentProject } from "./current-project.ts";
import { Logo } from "./Logo.tsx";
import { PLATFORM, type Place, PROJECT } from "./navigation.ts";

export function Sidebar({ onGo }: { onGo?: () => void }) {
  const project = useCurrentProject();
  const { role } = useSession();
  const mayGo = ({ isAdmin }: Place) => !isAdmin || role === "admin";
  return (
    <nav aria-label="Main" className="flex h-full flex-col gap-5 overflow-y-auto p-3">
      <Link to="/projects" className="px-2 pt-1" onClick={onGo}>
        <Logo />
      </Link>
      <Places places={PLATFORM.filter(mayGo)} onGo={onGo} />
      {project && (
        <div>
          <h2 className="truncate px-2 pb-1 text-xs font-medium text-muted" title={project}>
            {project}
          </h2>
          <Places places={PROJECT.filter(mayGo)} project={project} onGo={onGo} />
        </div>
      )}
    </nav>
  );
}

interface PlacesProps {
  places: readonly Place[];
  project?: string;
  onGo: (() => void) | undefined;
}

function Places({ places, project, onGo }: PlacesProps) {
  return (
    <ul className="flex flex-col gap-0.5">
      {places.map(({ to, label, icon: Icon }) => (
        <li key={to}>
          <Link
            to={to}
            params={{ id: project ?? "" }}
            // The overview's address begins those of the project's other pages.
            activeOptions={{ exact: to === "/projects" || to === "/projects/$id", includeSearch: false }}
            className="flex h-8 items-center gap-2.5 rounded-md px-2 text-muted hover:bg-hover hover:text-text aria-[current=page]:bg-accent-soft aria-[current=page]:font-medium aria-[current=page]:text-accent"
            onClick={onGo}
          >
            <Icon size={16} aria-hidden />
            {label}
          </Link>
        </li>
      ))}
    </ul>
  );
}

// A page that cannot be shown: why, and what next.
import { type ErrorComponentProps, Link } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { buttonClass } from "../ui/Button.tsx";
import { Empty, ErrorNote } from "../ui/States.tsx";

export function PageFailed({ error, reset }: ErrorComponentProps) {
  return <ErrorNote error={error instanceof Error ? error : new Error(String(error))} onRetry={reset} />;
}

export function NotFound() {
  return (
    <Empty
      icon={Compass}
      title="There is no such page"
      action={
        <Link to="/projects" className={buttonClass()}>
          Go to the projects
        </Link>
      }
    >
      The address may be mistyped, or the page may have moved.
    </Empty>
  );
}

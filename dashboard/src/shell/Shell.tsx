// The frame of every page: sidebar, top bar, keys, and the live connection.
import { Outlet, useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Live } from "../live/Live.tsx";
import { AsOfBanner, useAsOf } from "./AsOf.tsx";
import { useCurrentProject } from "./current-project.ts";
import { Help } from "./Help.tsx";
import { focusSearch, type Shortcut, useShortcuts } from "./keys.ts";
import { PLATFORM, PROJECT } from "./navigation.ts";
import { Sidebar } from "./Sidebar.tsx";
import { TopBar } from "./TopBar.tsx";

export function Shell() {
  const [isNavOpen, setIsNavOpen] = useState(false);
  const [isHelpOpen, setIsHelpOpen] = useState(false);
  const [at] = useAsOf();
  const shortcuts = useAllShortcuts(() => setIsHelpOpen(true));
  useShortcuts(shortcuts);
  return (
    <Live>
      <a
        href="#content"
        className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-raised focus:p-2"
      >
        Skip to the content
      </a>
      <div className="flex h-full">
        <aside className="hidden w-56 shrink-0 border-r border-line bg-panel md:block">
          <Sidebar />
        </aside>
        {isNavOpen && <Drawer onClose={() => setIsNavOpen(false)} />}
        <div className="flex min-w-0 flex-1 flex-col">
          <TopBar onMenu={() => setIsNavOpen(true)} onHelp={() => setIsHelpOpen(true)} />
          <AsOfBanner />
          <main id="content" tabIndex={-1} className="flex min-h-0 flex-1 flex-col outline-none">
            {/* At another commit every page reads anew. */}
            <Outlet key={at ?? "now"} />
          </main>
        </div>
      </div>
      <Help shortcuts={shortcuts} isOpen={isHelpOpen} onClose={() => setIsHelpOpen(false)} />
    </Live>
  );
}

/** The sidebar over the page, on a phone. */
function Drawer({ onClose }: { onClose(): void }) {
  return (
    <div className="fixed inset-0 z-40 flex md:hidden">
      <div className="h-full w-64 border-r border-line bg-panel shadow-lifted">
        <Sidebar onGo={onClose} />
      </div>
      <button type="button" aria-label="Close the menu" className="flex-1 bg-black/40" onClick={onClose} />
    </div>
  );
}

function useAllShortcuts(openHelp: () => void): Shortcut[] {
  const navigate = useNavigate();
  const project = useCurrentProject();
  // biome-ignore lint/correctness/useExhaustiveDependencies: opening the help is the same each time
  return useMemo(() => {
    const places = [...PLATFORM, ...(project ? PROJECT : [])];
    return [
      { keys: "/", does: "Search on this page", run: focusSearch },
      { keys: "?", does: "This help", run: openHelp },
      ...places.map(({ keys, label, to }) => ({
        keys,
        does: `Go to ${label}`,
        run: () => void navigate({ to, params: { id: project ?? "" } }),
      })),
    ];
  }, [project, navigate]);
}

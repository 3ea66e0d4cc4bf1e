// The bar above every page: where one is, whether it is live, as of when, and who is signed in.
import { useNavigate } from "@tanstack/react-router";
import { CircleHelp, Menu, Monitor, Moon, Sun } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { useLiveState } from "../live/Live.tsx";
import { useSession, useSignOut } from "../session/session.ts";
import { IconButton } from "../ui/Button.tsx";
import { useFailed } from "../ui/Toast.tsx";
import { AsOfSwitch } from "./AsOf.tsx";
import { setTheme, THEMES, type Theme, useTheme } from "./theme.ts";

interface Props {
  onMenu(): void;
  onHelp(): void;
}

export function TopBar({ onMenu, onHelp }: Props) {
  return (
    <header className="flex h-12 shrink-0 items-center gap-1 border-b border-line bg-panel px-2 md:px-4">
      <IconButton label="Menu" className="md:hidden" onClick={onMenu}>
        <Menu size={18} aria-hidden />
      </IconButton>
      <div className="flex-1" />
      <LiveMark />
      <AsOfSwitch />
      <IconButton label="Keys and help" onClick={onHelp}>
        <CircleHelp size={16} aria-hidden />
      </IconButton>
      <ThemeSwitch />
      <Account />
    </header>
  );
}

/** Only what is not as usual is worth words. */
function LiveMark() {
  const state = useLiveState();
  return (
    <span role="status" className="flex items-center gap-2 px-2 text-xs text-muted" data-live={state}>
      {state === "live" ? (
        <span className="size-2 rounded-full bg-good" title="Changes appear as they happen">
          <span className="sr-only">Live</span>
        </span>
      ) : (
        <>
          <span className="size-2 animate-pulse rounded-full bg-warn" aria-hidden />
          {state === "connecting" ? "Connecting…" : "Reconnecting…"}
        </>
      )}
    </span>
  );
}

const ICONS = { system: Monitor, light: Sun, dark: Moon };

function ThemeSwitch() {
  const theme = useTheme();
  const next: Theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
  const Icon = ICONS[theme];
  return (
    <IconButton label={`Theme: ${theme}; change to ${next}`} onClick={() => setTheme(next)}>
      <Icon size={16} aria-hidden />
    </IconButton>
  );
}

const itemClass = "flex h-8 cursor-pointer items-center rounded px-2 outline-none data-highlighted:bg-hover";

function Account() {
  const me = useSession();
  const navigate = useNavigate();
  const failed = useFailed();
  const signOut = useSignOut(() => void navigate({ to: "/sign-in", search: {} }));
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>
        <button
          type="button"
          aria-label={`Account ${me.name}`}
          className="ml-1 grid size-8 place-items-center rounded-full bg-accent-soft font-semibold text-accent uppercase"
        >
          {me.name.slice(0, 1)}
        </button>
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align="end"
          sideOffset={6}
          className="z-40 min-w-48 rounded-lg border border-line bg-raised p-1 shadow-lifted"
        >
          <DropdownMenu.Label className="px-2 py-1.5">
            <span className="block font-medium">{me.name}</span>
            <span className="block text-xs text-muted">{me.role}</span>
          </DropdownMenu.Label>
          <DropdownMenu.Separator className="my-1 h-px bg-line" />
          <DropdownMenu.Item
            className={itemClass}
            onSelect={() => signOut.mutate(undefined, { onError: failed })}
          >
            Sign out
          </DropdownMenu.Item>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

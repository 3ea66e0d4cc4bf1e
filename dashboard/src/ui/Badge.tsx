// What state something is in: a word with a shape and a colour, never the colour alone.
import clsx from "clsx";
import {
  Ban,
  CircleCheck,
  CircleDashed,
  CircleX,
  Hourglass,
  LoaderCircle,
  type LucideIcon,
} from "lucide-react";
import type { ReactNode } from "react";
import type { Schemas } from "../api/read.ts";

export type Tone = "good" | "bad" | "warn" | "busy" | "calm";

const TONES: Record<Tone, string> = {
  good: "bg-good-soft text-good",
  bad: "bg-bad-soft text-bad",
  warn: "bg-warn-soft text-warn",
  busy: "bg-busy-soft text-busy",
  calm: "bg-hover text-muted",
};

export function Badge({ tone = "calm", icon: Icon, isTurning, children }: BadgeProps) {
  return (
    <span
      className={clsx(
        "inline-flex h-5.5 items-center gap-1 rounded-full px-2 text-xs font-medium whitespace-nowrap",
        TONES[tone],
      )}
    >
      {Icon && <Icon size={12} aria-hidden className={isTurning ? "animate-spin" : undefined} />}
      {children}
    </span>
  );
}

interface BadgeProps {
  tone?: Tone;
  icon?: LucideIcon;
  isTurning?: boolean;
  children: ReactNode;
}

const JOB_STATES: Record<Schemas["JobState"], { tone: Tone; icon: LucideIcon; isTurning?: boolean }> = {
  pending: { tone: "calm", icon: CircleDashed },
  claimed: { tone: "busy", icon: Hourglass },
  running: { tone: "busy", icon: LoaderCircle, isTurning: true },
  completed: { tone: "good", icon: CircleCheck },
  failed: { tone: "bad", icon: CircleX },
  cancelled: { tone: "warn", icon: Ban },
};

export function JobStateBadge({ state }: { state: Schemas["JobState"] }) {
  return <Badge {...JOB_STATES[state]}>{state}</Badge>;
}

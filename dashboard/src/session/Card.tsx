// The frame of the pages for somebody who is not signed in.
import type { ReactNode } from "react";
import { ApiError } from "../api/error.ts";
import { Logo } from "../shell/Logo.tsx";

export function Card({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="grid min-h-full place-items-center p-4">
      <div className="w-full max-w-sm">
        <div className="mb-6 flex justify-center">
          <Logo />
        </div>
        <div className="rounded-xl border border-line bg-panel p-6">
          <h1 className="mb-4 text-lg font-semibold">{title}</h1>
          {children}
        </div>
      </div>
    </main>
  );
}

/** Why a form was refused, beside its button. */
export function Refusal({ error }: { error: Error | null }) {
  if (!error) return null;
  return (
    <p role="alert" className="rounded-md bg-bad-soft px-3 py-2 text-bad">
      {error.message}
      {error instanceof ApiError && error.requestId && error.status >= 500 && ` (request ${error.requestId})`}
    </p>
  );
}

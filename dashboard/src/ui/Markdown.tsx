// Text that people and models wrote, as Markdown. It is loaded when first needed.
import { lazy, Suspense } from "react";
import { Skeleton } from "./States.tsx";

const Rendered = lazy(() => import("./markdown/Rendered.tsx"));

export function Markdown({ text }: { text: string }) {
  return (
    <Suspense fallback={<Skeleton className="h-16 w-full" />}>
      <Rendered text={text} />
    </Suspense>
  );
}

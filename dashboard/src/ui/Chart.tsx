// A small chart, drawn with uPlot, which is loaded when the first one is shown.
import { lazy, Suspense } from "react";
import type { ChartProps } from "./chart/Drawn.tsx";
import { Skeleton } from "./States.tsx";

const Drawn = lazy(() => import("./chart/Drawn.tsx"));

export function Chart(props: ChartProps) {
  return (
    <Suspense fallback={<Skeleton className="h-36 w-full" />}>
      <Drawn {...props} />
    </Suspense>
  );
}

// Draws a chart over time: lines, points or stacked bars, in the colours of the theme, with the values under the pointer below it.
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  name: string;
  /** A colour of the theme: `good`. */
  colour: "accent" | "good" | "bad" | "warn" | "busy";
  values: readonly (number | null)[];
}

export interface ChartProps {
  /** What it shows, for who does not see it. */
  label: string;
  /** Seconds since 1970. */
  times: readonly number[];
  series: readonly Series[];
  /** Bars stand on each other, the first at the bottom. */
  as?: "lines" | "points" | "bars";
  say(value: number): string;
  height?: number;
}

const HEIGHT = 140;
const AXIS_WIDTH = 52;
const DAY = 86_400;

export default function Drawn({ label, times, series, as = "lines", say, height = HEIGHT }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const [under, setUnder] = useState<number | null>(null);
  const theme = useTheme();
  const names = series.map(({ name, colour }) => `${name} ${colour}`).join();
  const latest = useRef(say);
  latest.current = say;
  const data = useMemo(() => asData(times, series, as), [times, series, as]);
  const first = useRef(data);
  first.current = data;
  // biome-ignore lint/correctness/useExhaustiveDependencies: names and theme say when it has to be drawn anew
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const options = optionsOf(series, as, (value) => latest.current(value), setUnder);
    const drawn = new uPlot(
      { ...options, width: element.clientWidth || 300, height },
      first.current,
      element,
    );
    chart.current = drawn;
    const resized = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      drawn.destroy();
      chart.current = null;
    };
  }, [names, as, height, theme]);
  useEffect(() => chart.current?.setData(data), [data]);
  const index = under ?? times.length - 1;
  return (
    <figure>
      <div ref={box} role="img" aria-label={`${label}: ${spoken(series, times.length - 1, say)}`} />
      <figcaption className="flex flex-wrap gap-x-4 gap-y-0.5 pt-1 text-xs text-muted">
        {series.map(({ name, colour, values }) => (
          <span key={name} className="inline-flex items-center gap-1.5">
            <span className={`size-2 rounded-sm ${GROUNDS[colour]}`} aria-hidden />
            {name}
            <span className="font-medium text-text">{told(values[index], say)}</span>
          </span>
        ))}
        {under !== null && times[under] !== undefined && (
          <span className="ml-auto">{moment(times[under], as)}</span>
        )}
      </figcaption>
    </figure>
  );
}

const GROUNDS = { accent: "bg-accent", good: "bg-good", bad: "bg-bad", warn: "bg-warn", busy: "bg-busy" };

const told = (value: number | null | undefined, say: (value: number) => string) =>
  value === null || value === undefined ? "–" : say(value);

function spoken(series: readonly Series[], index: number, say: (value: number) => string): string {
  return series.map(({ name, values }) => `${name} ${told(values[index], say)}`).join(", ");
}

function moment(seconds: number, as: ChartProps["as"]): string {
  const time = new Date(seconds * 1000);
  return as === "bars" ? time.toLocaleDateString() : time.toLocaleTimeString();
}

const dayOnly = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

function tick(seconds: number, as: ChartProps["as"]): string {
  const time = new Date(seconds * 1000);
  return as === "bars" ? dayOnly.format(time) : time.toLocaleTimeString(undefined, { hour12: false });
}

/** The values as uPlot has them; of bars each is the sum of those below it, and the highest is drawn first. */
function asData(
  times: readonly number[],
  series: readonly Series[],
  as: ChartProps["as"],
): uPlot.AlignedData {
  if (as !== "bars") return [[...times], ...series.map(({ values }) => [...values])];
  const sums: number[] = times.map(() => 0);
  const stacked = series.map(({ values }) =>
    values.map((value, index) => {
      sums[index] = (sums[index] ?? 0) + (value ?? 0);
      return sums[index] ?? 0;
    }),
  );
  return [[...times], ...stacked.reverse()];
}

function optionsOf(
  series: readonly Series[],
  as: ChartProps["as"],
  say: (value: number) => string,
  onUnder: (index: number | null) => void,
): Omit<uPlot.Options, "width" | "height"> {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(`--c-${name}`).trim();
  const axis: uPlot.Axis = {
    stroke: colour("muted"),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
  };
  const drawn = as === "bars" ? [...series].reverse() : series;
  return {
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: as === "lines" } },
    padding: [8, 10, 0, 0],
    scales: {
      ...(as === "bars" && { x: { range: (_, min, max) => [min - DAY / 2, max + DAY / 2] } }),
      y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
    },
    axes: [
      {
        ...axis,
        size: 24,
        grid: { show: false },
        space: 70,
        values: (_, splits) => splits.map((at) => tick(at, as)),
      },
      { ...axis, size: AXIS_WIDTH, space: 34, values: (_, splits) => splits.map(say) },
    ],
    series: [{}, ...drawn.map((one) => lineOf(one, as, colour(one.colour)))],
    hooks: { setCursor: [(plot) => onUnder(plot.cursor.idx ?? null)] },
  };
}

function lineOf({ name }: Series, as: ChartProps["as"], stroke: string): uPlot.Series {
  if (as === "bars") {
    const bars = uPlot.paths.bars?.({ size: [0.7, 28], radius: 0.15 });
    return {
      label: name,
      stroke,
      fill: stroke,
      width: 0,
      points: { show: false },
      ...(bars && { paths: bars }),
    };
  }
  if (as === "points")
    return { label: name, stroke, paths: () => null, points: { show: true, size: 6, fill: stroke } };
  return { label: name, stroke, width: 1.5, fill: `${stroke}22`, points: { show: false } };
}

/** The theme that is shown, so that a chart is drawn anew in the other's colours. */
function useTheme(): string {
  const [theme, setTheme] = useState(() => document.documentElement.dataset.theme ?? "light");
  useEffect(() => {
    const watcher = new MutationObserver(() => setTheme(document.documentElement.dataset.theme ?? "light"));
    watcher.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => watcher.disconnect();
  }, []);
  return theme;
}

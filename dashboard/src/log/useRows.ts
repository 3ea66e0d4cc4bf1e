// Which rows of a log are in sight. One row is the anchor: it lies at a known place, and the others lie above and below it,
// however high they are. So rows may wrap, and their numbers may change, and what is read stays where it is.
import { type RefObject, useEffect, useLayoutEffect, useReducer, useRef } from "react";
import type { LogClient } from "./client.ts";
import type { LogState } from "./protocol.ts";
import { fromSurface, SURFACE_PX_MAX, surfaceHeight, toSurface } from "./scroll.ts";

export const ROW_PX = 20;
/** Rows beside those in sight, so that scrolling shows no gaps. */
const OVERSCAN = 20;
/** A move by more than so many screens is a jump: it is not counted row by row. */
const JUMP_SCREENS = 3;
/** This near the beginning of what is here, more is asked for. */
const NEAR_START = 100;
/** After this time without a move the surface is brought in line with what is in sight. */
const SETTLE_MS = 150;

interface Options {
  client: LogClient;
  state: LogState;
  isWrapped: boolean;
  /** Whether the end stays in sight as the log grows. */
  isFollowing: boolean;
  onFollow(isFollowing: boolean): void;
  startsAtEnd: boolean;
}

export interface Rows {
  box: RefObject<HTMLElement | null>;
  anchor: RefObject<HTMLDivElement | null>;
  surfacePx: number;
  above: number[];
  below: number[];
  onScroll(): void;
  /** Brings a row into sight. */
  show(row: number): void;
}

export function useRows({ client, state, isWrapped, isFollowing, onFollow, startsAtEnd }: Options): Rows {
  const box = useRef<HTMLElement>(null);
  const anchor = useRef<HTMLDivElement>(null);
  const [, render] = useReducer((count: number) => count + 1, 0);
  const view = useRef({
    ...{ row: 0, offset: 0, scroll: 0, px: 0, shift: state.shift, rowPx: ROW_PX },
    ...{ isMoved: false, atEnd: startsAtEnd, wanted: null as number | null },
  }).current;
  const { rows } = state;
  const isExact = !isWrapped && rows * ROW_PX <= SURFACE_PX_MAX;
  if (!isWrapped) view.rowPx = ROW_PX;
  if (view.shift !== state.shift) {
    // Rows were put before those in sight.
    view.row += state.shift - view.shift;
    view.shift = state.shift;
    view.isMoved = true;
  }
  if (view.wanted !== null && (rows > view.wanted || state.isRead)) {
    const third = Math.floor(view.px / ROW_PX / 3);
    Object.assign(view, {
      row: Math.max(0, Math.min(view.wanted, rows - 1) - third),
      offset: 0,
      isMoved: true,
      atEnd: false,
    });
    view.wanted = null;
  }
  if (isFollowing || view.atEnd) Object.assign(view, { row: rows, offset: -view.px, isMoved: true });

  const total = rows * view.rowPx;
  const screen = Math.ceil(view.px / ROW_PX) + 1;
  const first = Math.max(0, view.row - OVERSCAN - (view.offset < 0 ? screen : 0));
  const last = Math.min(rows, view.row + screen + OVERSCAN);
  const range = (from: number, to: number) =>
    Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at);

  useLayoutEffect(() => {
    client.want(first, last);
    if (!state.isWhole && first < NEAR_START) client.earlier();
    const [outer, inner] = [box.current, anchor.current];
    if (!outer || !inner) return;
    if (isWrapped) measure(inner, view);
    const above = inner.firstElementChild?.clientHeight ?? 0;
    if (view.offset < 0 && first === 0 && above < view.px) {
      // All of it is less than a screen: it begins at the top.
      Object.assign(view, { row: 0, offset: 0, isMoved: true });
      if (isFollowing || view.atEnd) {
        inner.style.transform = `translateY(${above}px)`;
        view.scroll = 0;
        return;
      }
      render();
    }
    if (view.isMoved) {
      view.isMoved = false;
      const px = view.row * view.rowPx + view.offset;
      outer.scrollTop = view.row >= rows ? outer.scrollHeight : toSurface(px, total);
      view.scroll = outer.scrollTop;
    }
    inner.style.transform = `translateY(${view.scroll - view.offset}px)`;
  });

  const moveBy = (px: number) => {
    view.offset += px;
    while (view.offset < 0 && view.row > 0) {
      view.row -= 1;
      view.offset += heightOf(anchor.current, view.row, view.rowPx);
    }
    for (;;) {
      const height = heightOf(anchor.current, view.row, view.rowPx);
      if (view.offset < height || view.row >= rows - 1) break;
      view.offset -= height;
      view.row += 1;
    }
    if (view.row === 0) view.offset = Math.max(0, view.offset);
  };
  const settle = useRef<ReturnType<typeof setTimeout>>(undefined);
  const onScroll = () => {
    const outer = box.current;
    if (!outer || outer.scrollTop === view.scroll) return;
    const moved = outer.scrollTop - view.scroll;
    view.scroll = outer.scrollTop;
    const isEnd = outer.scrollTop + outer.clientHeight >= outer.scrollHeight - 2;
    view.atEnd = false;
    view.wanted = null;
    if (isEnd) Object.assign(view, { row: rows, offset: -view.px });
    else if (isExact || Math.abs(moved) > JUMP_SCREENS * view.px || view.scroll <= 0) {
      const px = fromSurface(view.scroll, total);
      view.row = Math.min(rows, Math.floor(px / view.rowPx));
      view.offset = px - view.row * view.rowPx;
    } else moveBy(moved);
    if (isEnd !== isFollowing && !state.isOver) onFollow(isEnd);
    clearTimeout(settle.current);
    if (!isExact) {
      settle.current = setTimeout(() => {
        view.isMoved = true;
        render();
      }, SETTLE_MS);
    }
    render();
  };

  useEffect(() => {
    const outer = box.current;
    if (!outer) return;
    const observer = new ResizeObserver(() => {
      view.px = outer.clientHeight;
      view.isMoved = true;
      render();
    });
    observer.observe(outer);
    return () => {
      observer.disconnect();
      clearTimeout(settle.current);
    };
  }, [view]);

  const show = (row: number) => {
    view.wanted = row;
    render();
  };
  return {
    ...{ box, anchor, onScroll, show },
    surfacePx: surfaceHeight(total),
    above: range(first, Math.min(view.row, last)),
    below: range(Math.max(first, view.row), last),
  };
}

function heightOf(anchor: HTMLElement | null, row: number, guess: number): number {
  return anchor?.querySelector<HTMLElement>(`[data-row="${row}"]`)?.offsetHeight ?? guess;
}

/** How high rows are by and large, once they wrap. */
function measure(anchor: HTMLElement, view: { rowPx: number }): void {
  const all = anchor.querySelectorAll<HTMLElement>("[data-row]");
  if (all.length === 0) return;
  let px = 0;
  for (const row of all) px += row.offsetHeight;
  view.rowPx = Math.max(ROW_PX, Math.round(px / all.length));
}

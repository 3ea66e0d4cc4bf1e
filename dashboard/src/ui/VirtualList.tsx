// A list of any length: only the rows in sight are in the page. It loads on when its end comes near.
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef } from "react";

interface Props<T> {
  label: string;
  items: readonly T[];
  keyOf(item: T): string;
  rowHeight: number;
  children(item: T, index: number): ReactNode;
  /** There is more behind the last item. */
  onEnd?: (() => void) | undefined;
}

/** Rows beside those in sight, so that fast scrolling shows no gaps. */
const OVERSCAN = 12;
/** How close to the end the next page is asked for, in rows. */
const NEAR_END = 30;

export function VirtualList<T>({ label, items, keyOf, rowHeight, children, onEnd }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => box.current,
    estimateSize: () => rowHeight,
    overscan: OVERSCAN,
    getItemKey: (index) => keyOf(items[index] as T),
  });
  const shown = rows.getVirtualItems();
  const lastShown = shown.at(-1)?.index ?? -1;
  useEffect(() => {
    if (onEnd && lastShown >= items.length - NEAR_END) onEnd();
  }, [onEnd, lastShown, items.length]);
  return (
    <section
      ref={box}
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reachable by keyboard
      tabIndex={0}
      className="min-h-0 flex-1 overflow-auto outline-offset-[-2px]"
    >
      <ul className="relative" style={{ height: rows.getTotalSize() }}>
        {shown.map(({ key, index, start }) => (
          <li
            key={key}
            aria-setsize={onEnd ? -1 : items.length}
            aria-posinset={index + 1}
            className="absolute inset-x-0 top-0"
            style={{ height: rowHeight, transform: `translateY(${start}px)` }}
          >
            {children(items[index] as T, index)}
          </li>
        ))}
      </ul>
    </section>
  );
}

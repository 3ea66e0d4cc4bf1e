// How a conversation scrolls: it stays at its end while answers grow, and stays where it is while older messages come.
import { type RefObject, useEffect, useLayoutEffect, useRef } from "react";

/** So close to the end counts as at the end, in pixels. */
const AT_END_PX = 80;
/** So close to the beginning the page before is asked for. */
const NEAR_START_PX = 400;

interface Scrolled {
  /** The number of the first message that is shown. */
  first: number;
  /** How many messages somebody here has sent: sending leads to the end. */
  sent: number;
  onStart: (() => void) | null;
}

export function useConversationScroll(
  box: RefObject<HTMLElement | null>,
  { first, sent, onStart }: Scrolled,
) {
  const isAtEnd = useRef(true);
  const before = useRef({ first, height: 0 });
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const grown = element.scrollHeight - before.current.height;
    // Older messages came above: what was in sight stays there.
    if (first < before.current.first && before.current.height > 0 && !isAtEnd.current)
      element.scrollTop += grown;
    before.current = { first, height: element.scrollHeight };
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: each message that is sent leads to the end
  useLayoutEffect(() => {
    isAtEnd.current = true;
    box.current?.scrollTo({ top: box.current.scrollHeight });
  }, [sent, box]);
  useEffect(() => {
    const element = box.current;
    const content = element?.firstElementChild;
    if (!element || !content) return;
    const grow = new ResizeObserver(() => {
      if (isAtEnd.current) element.scrollTop = element.scrollHeight;
      before.current.height = element.scrollHeight;
    });
    grow.observe(content);
    return () => grow.disconnect();
  }, [box]);
  return (event: { currentTarget: HTMLElement }) => {
    const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    if (scrollTop < NEAR_START_PX) onStart?.();
  };
}

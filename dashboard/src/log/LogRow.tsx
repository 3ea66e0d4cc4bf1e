// A row of a log: its number, which is a link to it, and what was written.
import clsx from "clsx";
import { memo } from "react";
import { marked, spansOf } from "./ansi.ts";

interface Props {
  row: number;
  text: string | undefined;
  /** Whether the row's number is known. */
  isNumbered: boolean;
  digits: number;
  isWrapped: boolean;
  isChosen: boolean;
  wanted: string;
  isCurrent: boolean;
  onChoose(row: number): void;
}

export const LogRow = memo(function LogRow(props: Props) {
  const { row, text, isNumbered, digits, isWrapped, isChosen, wanted, isCurrent, onChoose } = props;
  const line = row + 1;
  return (
    <div
      data-row={row}
      className={clsx("flex min-w-full", isWrapped ? "min-h-5" : "h-5", isChosen ? "bg-warn-soft" : "")}
    >
      <a
        href={isNumbered ? `#L${line}` : undefined}
        aria-label={isNumbered ? `Line ${line}` : undefined}
        aria-current={isChosen || undefined}
        tabIndex={-1}
        style={{ minWidth: `${digits + 3}ch` }}
        className={clsx(
          "sticky left-0 shrink-0 pr-[2ch] text-right text-muted select-none hover:text-text",
          isChosen ? "bg-warn-soft" : "bg-code",
        )}
        onClick={(event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          if (isNumbered) onChoose(row);
        }}
      >
        {isNumbered ? line : "·"}
      </a>
      <span className={isWrapped ? "min-w-0 flex-1 wrap-anywhere whitespace-pre-wrap" : "whitespace-pre"}>
        {text === undefined ? (
          <span aria-hidden className="inline-block h-3 w-40 rounded bg-hover" />
        ) : (
          marked(spansOf(text), wanted).map(({ text: part, look, isFound }, at) =>
            isFound ? (
              // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a row have no other name
              <mark key={at} className={isCurrent ? "log-found-now" : "log-found"}>
                {part}
              </mark>
            ) : (
              // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a row have no other name
              <span key={at} className={look || undefined}>
                {part}
              </span>
            ),
          )
        )}
      </span>
    </div>
  );
});

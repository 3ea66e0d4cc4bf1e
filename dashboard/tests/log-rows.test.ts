// The parts of the log that need no browser: rows, colours, and the surface that is scrolled.
import assert from "node:assert/strict";
import { test } from "node:test";
import { marked, plain, spansOf } from "../src/log/ansi.ts";
import { ROW_BYTES_MAX, RowIndex, rowsOf } from "../src/log/rows.ts";
import { fromSurface, SURFACE_PX_MAX, toSurface } from "../src/log/scroll.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

test("rows begin where they begin, in whatever pieces the bytes come", () => {
  const whole = bytes(`one\n\ntwo äöü\n${"ü".repeat(ROW_BYTES_MAX)}\nlast`);
  const starts = (pieces: number[]) => {
    const index = new RowIndex(0, 1);
    let at = 0;
    for (const size of [...pieces, whole.length]) {
      index.append(whole.subarray(at, at + size));
      at += size;
    }
    return index.marks;
  };
  const expected = starts([]);
  for (const size of [1, 2, 3, 7, 4096, 8191, 8192, 8193]) {
    const pieces = Array.from({ length: Math.ceil(whole.length / size) }, () => size);
    assert.deepEqual(starts(pieces), expected, `pieces of ${size}`);
  }
  assert.deepEqual(rowsOf(whole).slice(0, 3), ["one", "", "two äöü"]);
  assert.ok(
    rowsOf(whole).every((row) => !row.includes("\ufffd")),
    "no character is cut",
  );
  assert.equal(rowsOf(whole).join(""), `onetwo äöü${"ü".repeat(ROW_BYTES_MAX)}last`);
});

test("a log that ends with a newline has no empty last row, and an empty one has none", () => {
  assert.deepEqual(rowsOf(bytes("a\n")), ["a"]);
  assert.deepEqual(rowsOf(bytes("")), []);
  assert.deepEqual(rowsOf(bytes("\n\n")), ["", ""]);
});

test("escape sequences colour or vanish, and never reach the page", () => {
  assert.deepEqual(spansOf("a\u001b[31mb\u001b[0mc"), [
    { text: "a", look: "" },
    { text: "b", look: "ansi-red" },
    { text: "c", look: "" },
  ]);
  assert.deepEqual(spansOf("\u001b[38;5;46mx"), [{ text: "x", look: "ansi-green" }]);
  assert.deepEqual(spansOf("\u001b[38:2::255:0:0mx"), [{ text: "x", look: "ansi-red" }]);
  assert.deepEqual(spansOf("\u001b[41;37mx"), [{ text: "x", look: "ansi-on-red" }]);
  assert.equal(plain("\u001b]0;title\u0007\u001b[2Kdone\u001b(B"), "done");
  assert.equal(plain("10 %\r20 %\r"), "20 %");
  const many = "\u001b[31mx\u001b[0m".repeat(5000);
  assert.ok(spansOf(many).length < 600);
  assert.equal(
    spansOf(many)
      .map(({ text }) => text)
      .join(""),
    "x".repeat(5000),
  );
});

test("what is searched for is marked across colours", () => {
  const parts = marked(spansOf("an err\u001b[31mor and an ERROR"), "error");
  assert.equal(parts.map(({ text }) => text).join(""), "an error and an ERROR");
  assert.deepEqual(
    parts.filter(({ isFound }) => isFound).map(({ text }) => text),
    ["err", "or", "ERROR"],
  );
});

test("the surface of a long log has its ends as they are and nothing twice", () => {
  const total = 60_000_000;
  let before = -1;
  for (let px = 0; px <= total; px += 500_000) {
    const at = toSurface(px, total);
    assert.ok(at > before && at <= SURFACE_PX_MAX);
    assert.ok(Math.abs(fromSurface(at, total) - px) < 1);
    before = at;
  }
  assert.equal(toSurface(total, total), SURFACE_PX_MAX);
  assert.equal(toSurface(500, total), 500);
});

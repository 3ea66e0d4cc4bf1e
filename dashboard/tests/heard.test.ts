// The parts of a chat that need no browser: what is shown of what was read, told and sent.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Schemas } from "../src/api/read.ts";
import { type Heard, hasArrived, hear, NOTHING, shown, withMessage } from "../src/chats/heard.ts";

function message(number: number, text: string, more: Partial<Schemas["Message"]> = {}): Schemas["Message"] {
  const author = { kind: "user", name: "anna" };
  const parts = [{ type: "text" as const, text }];
  return { number, author, role: "user", parts, createdAt: "2026-01-01T00:00:00.000Z", ...more };
}

const JOB = "job-1";
const answer = (number: number, text: string) =>
  message(number, text, { role: "assistant", author: { kind: "agent", name: "talker-1" }, jobId: JOB });

test("an answer's message that is read before it is told does not stand beside the answer's text", () => {
  let heard: Heard = { ...NOTHING, after: 1 };
  heard = hear(heard, { kind: "state", jobId: JOB, attempt: 1, state: "running" });
  heard = hear(heard, { kind: "partial", jobId: JOB, attempt: 1, offset: 0, text: "Hello" });
  const read = [message(1, "Greet me"), answer(2, "Hello")];
  assert.deepEqual(
    shown(read, heard).map(({ number }) => number),
    [1],
  );
  heard = withMessage(heard, answer(2, "Hello"));
  assert.deepEqual(
    shown(read, heard).map(({ number }) => number),
    [1, 2],
  );
  assert.equal(heard.answers.get(JOB)?.state, "completed");
  assert.equal(heard.answers.get(JOB)?.text, "");
});

test("older pages and what is read before the stream begins are shown as they were read", () => {
  const read = [message(1, "one"), message(2, "two")];
  assert.deepEqual(shown(read, NOTHING), read);
  assert.deepEqual(shown(read, { ...NOTHING, after: 2 }), read);
});

test("a message on its way has arrived once one of the same words by the same person is there", () => {
  const sending = { key: "k", parts: [{ type: "text" as const, text: "Again" }], after: 2 };
  const there = message(3, "Again");
  assert.ok(hasArrived(sending, "anna", [there]));
  assert.ok(!hasArrived({ ...sending, after: null }, "anna", [there]), "it has not gone out yet");
  assert.ok(!hasArrived({ ...sending, after: 3 }, "anna", [there]), "that was there before");
  assert.ok(!hasArrived(sending, "bert", [there]), "by somebody else");
  assert.ok(!hasArrived(sending, "anna", [message(3, "Again!")]), "other words");
  assert.ok(!hasArrived(sending, "anna", [answer(3, "Again")]), "an answer");
  const file = { type: "file" as const, artifactId: "art-1" };
  assert.ok(
    !hasArrived({ ...sending, parts: [...sending.parts, file] }, "anna", [there]),
    "without its file",
  );
});

// What a chat's stream has told: messages, and answers in the making. Pure: what is known and an event give what is known next.
import type { Schemas } from "../api/read.ts";

export type ChatEvent =
  | ({ kind: "message" } & Schemas["Message"])
  | ({ kind: "state" } & Schemas["AnswerState"])
  | ({ kind: "partial" } & Schemas["PartialAnswer"]);

/** An answer, from when its job waits until its message is there. */
export interface Answering {
  attempt: number;
  state: Schemas["JobState"];
  text: string;
  failure?: Schemas["Failure"] | null;
}

export interface Heard {
  messages: ReadonlyMap<number, Schemas["Message"]>;
  answers: ReadonlyMap<string, Answering>;
}

export const NOTHING: Heard = { messages: new Map(), answers: new Map() };

export function hear(heard: Heard, event: ChatEvent): Heard {
  if (event.kind === "message") return withMessage(heard, event);
  const { jobId, attempt } = event;
  const known = heard.answers.get(jobId);
  const begun = known?.attempt === attempt ? known.text : "";
  const next: Answering =
    event.kind === "state"
      ? { attempt, state: event.state, text: begun, failure: event.failure ?? null }
      : {
          attempt,
          state: "running",
          // Whoever comes back is told an answer from its beginning.
          text: event.offset === 0 ? event.text : begun + event.text,
        };
  return { ...heard, answers: new Map(heard.answers).set(jobId, next) };
}

/** A message; that of an answer takes the place of what there was of it. */
export function withMessage(heard: Heard, message: Schemas["Message"]): Heard {
  const messages = new Map(heard.messages).set(message.number, message);
  const known = message.jobId ? heard.answers.get(message.jobId) : undefined;
  if (message.role !== "assistant" || !message.jobId || !known) return { ...heard, messages };
  const state = message.interrupted ? ("cancelled" as const) : ("completed" as const);
  const answers = new Map(heard.answers).set(message.jobId, { attempt: known.attempt, state, text: "" });
  return { messages, answers };
}

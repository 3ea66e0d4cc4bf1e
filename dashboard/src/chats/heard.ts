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
  /** The last message that was known when the stream began; null before it begins. */
  after: number | null;
  messages: ReadonlyMap<number, Schemas["Message"]>;
  answers: ReadonlyMap<string, Answering>;
}

export const NOTHING: Heard = { after: null, messages: new Map(), answers: new Map() };

/** A message on its way, or one that was refused. */
export interface Sending {
  key: string;
  parts: Schemas["Part"][];
  /** The last message that was known when it went out; null before it does. */
  after: number | null;
  error?: Error;
}

/**
 * The messages in order. Up to where the stream began they are as they were read, and behind that as they are told, however often
 * they are read again: an answer and its message come from one source, so that one takes the place of the other in one step.
 */
export function shown(read: readonly Schemas["Message"][], { after, messages }: Heard): Schemas["Message"][] {
  const old = read.filter(({ number }) => after === null || number <= after);
  const all = new Map([...old.map((one) => [one.number, one] as const), ...messages]);
  return [...all.values()].sort((a, b) => a.number - b.number);
}

/** Whether what is on its way has arrived: the stream may tell of it before the call that sent it is answered. */
export function hasArrived(
  { parts, after }: Sending,
  me: string,
  messages: readonly Schemas["Message"][],
): boolean {
  if (after === null) return false;
  const isSame = (other: readonly Schemas["Part"][]) =>
    other.length === parts.length && other.every((part, index) => sameness(part) === sameness(parts[index]));
  return messages.some(
    ({ number, role, author, parts }) =>
      number > after && role === "user" && author.kind === "user" && author.name === me && isSame(parts),
  );
}

function sameness(part: Schemas["Part"] | undefined): string {
  return part?.type === "text" ? `text ${part.text}` : `file ${part?.artifactId}`;
}

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
  return { ...heard, messages, answers };
}

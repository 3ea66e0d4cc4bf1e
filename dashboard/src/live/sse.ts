// Server-sent events out of a stream of bytes (HTML Living Standard §9.2.6).

export interface SseMessage {
  id: string;
  event: string;
  data: string;
}

/** A message is at most this long, so that a stream which never ends one does not fill the page's memory. */
const MESSAGE_CHARACTERS_MAX = 4 << 20;

export async function* messages(body: ReadableStream<Uint8Array>): AsyncGenerator<SseMessage> {
  let waiting = "";
  const reader = body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      waiting = (waiting + value).replaceAll("\r\n", "\n");
      if (waiting.length > MESSAGE_CHARACTERS_MAX)
        throw new Error("a message of the event stream is too long");
      const blocks = waiting.split("\n\n");
      waiting = blocks.pop() ?? "";
      for (const block of blocks) {
        const message = parse(block);
        if (message) yield message;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block: string): SseMessage | null {
  const message = { id: "", event: "message", data: "" };
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const [field, value] = [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
    if (field === "data") data.push(value);
    else if (field === "id") message.id = value;
    else if (field === "event") message.event = value;
  }
  message.data = data.join("\n");
  return data.length > 0 ? message : null;
}

/** The same stream, which says so when nothing has come for a while: a connection that is dead does not end by itself. */
export function watched(
  body: ReadableStream<Uint8Array>,
  silenceMs: number,
  onSilence: () => void,
): ReadableStream<Uint8Array> {
  let timer = setTimeout(onSilence, silenceMs);
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        clearTimeout(timer);
        timer = setTimeout(onSilence, silenceMs);
        controller.enqueue(chunk);
      },
      flush: () => clearTimeout(timer),
    }),
  );
}

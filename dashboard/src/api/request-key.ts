// A key of one deed (`Idempotency-Key`): sent again with it, the deed is done once.

const BYTES = 16;

/** `crypto.randomUUID` is there only under https; this is there everywhere. */
export function requestKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(BYTES));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A refusal of the API, or none at all when the daemon is not there.

export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string | null;
  readonly retryAfterSeconds: number | null;

  constructor(
    status: number,
    code: string,
    message: string,
    requestId?: string | null,
    retryAfter?: string | null,
  ) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.requestId = requestId ?? null;
    this.retryAfterSeconds = retryAfter ? Number.parseInt(retryAfter, 10) || null : null;
  }

  /** The refusal in an answer; whatever stands between us and the daemon may answer with something else. */
  static async of(response: Response): Promise<ApiError> {
    const body: unknown = await response.json().catch(() => null);
    const { code, message } = (body ?? {}) as { code?: unknown; message?: unknown };
    return new ApiError(
      response.status,
      typeof code === "string" ? code : `http${response.status}`,
      typeof message === "string"
        ? message
        : `The server answered ${response.status} ${response.statusText}`.trim(),
      response.headers.get("mrx-request-id"),
      response.headers.get("retry-after"),
    );
  }

  static from(error: unknown): Error {
    if (error instanceof ApiError || (error instanceof DOMException && error.name === "AbortError"))
      return error;
    return new ApiError(0, "unreachable", "The daemon did not answer. Is it running, and is the network up?");
  }
}

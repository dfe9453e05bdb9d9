/** A wrong field: its path in the request, and a description of a right value. */
export interface Violation {
  field: string;
  description: string;
}

interface Detail {
  reason?: string;
  metadata?: Record<string, string>;
  fieldViolations?: Violation[];
}

interface Status {
  message?: string;
  details?: Detail[];
}

/** A failed call (google.rpc.Status). Branch on the reason, never on the message. */
export class LockstepError extends Error {
  /**
   * @param status the HTTP status; 0 if no answer came
   * @param reason a name of lockstep.errors.v1.ErrorReason; empty if no answer came
   * @param violations all wrong fields
   * @param retryAfterSeconds how long to wait before another try can help, if the service said so
   * @param requestId the id to look for in the logs
   */
  constructor(
    message: string,
    readonly status = 0,
    readonly reason = "",
    readonly violations: Violation[] = [],
    readonly retryAfterSeconds: number | undefined = undefined,
    readonly requestId = "",
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "LockstepError";
  }

  static async of(response: Response): Promise<LockstepError> {
    const text = await response.text();
    const { message, details } = parsed(text);
    const retryAfter = response.headers.get("retry-after");
    return new LockstepError(
      message ?? `The answer was ${response.status}.`,
      response.status,
      details?.find((each) => each.reason)?.reason,
      details?.flatMap((each) => each.fieldViolations ?? []),
      retryAfter === null ? undefined : Number(retryAfter),
      response.headers.get("x-request-id") ?? "",
    );
  }
}

/** A proxy may answer with something else than JSON. */
function parsed(text: string): Status {
  try {
    return JSON.parse(text) as Status;
  } catch {
    return {};
  }
}

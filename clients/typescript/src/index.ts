import createClient, { type Client, type Middleware } from "openapi-fetch";
import { LockstepError } from "./errors.js";
import type { paths } from "./schema.js";

export { LockstepError, type Violation } from "./errors.js";
export type { components, operations, paths } from "./schema.js";

/** Beyond the gateway's own deadline of 10 s: it answers first. */
const TIMEOUT_MS = 15_000;
const IDEMPOTENCY_KEY = "idempotency-key";

export interface Options {
  /** Where the gateway is, such as https://api.example.com. */
  baseUrl: string;
  /** The access token or API key of the caller, asked for at each call. */
  token?: () => string | undefined;
  /** The longest time of a call. */
  timeoutMs?: number;
  /** Another `fetch`, such as one for tests. */
  fetch?: typeof fetch;
}

/**
 * A client whose paths, parameters, bodies and answers have types.
 *
 * A failed call throws LockstepError. Each POST gets an Idempotency-Key unless it has one; give
 * your own if you repeat a call yourself.
 */
export function connect(options: Options): Client<paths> {
  const { timeoutMs = TIMEOUT_MS, fetch: send = globalThis.fetch } = options;
  const client = createClient<paths>({
    baseUrl: options.baseUrl.replace(/\/$/, ""),
    fetch: (request) => {
      const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMs)]);
      return send(new Request(request, { signal }));
    },
  });
  client.use(headers(options.token), errors);
  return client;
}

/** Return the body of a call's answer: `await answer(api.GET("/v1/products"))`. */
export async function answer<T>(call: Promise<{ data?: T }>): Promise<T> {
  const { data } = await call;
  return data as T;
}

function headers(token: Options["token"]): Middleware {
  return {
    onRequest({ request }) {
      const held = token?.();
      if (held) request.headers.set("authorization", `Bearer ${held}`);
      if (request.method === "POST" && !request.headers.has(IDEMPOTENCY_KEY)) {
        request.headers.set(IDEMPOTENCY_KEY, crypto.randomUUID());
      }
    },
  };
}

const errors: Middleware = {
  async onResponse({ response }) {
    if (!response.ok) throw await LockstepError.of(response);
  },
  onError({ error }) {
    if (error instanceof LockstepError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new LockstepError(message, 0, "", [], undefined, "", { cause: error });
  },
};

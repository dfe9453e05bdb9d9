// One HTTP request, what an answer or a failure of it means, and keys that make repeats harmless.

/** Beyond the gateway's own deadline of 10 s: it answers first. */
const TIMEOUT_MS = 15_000;

/** @typedef {{ field: string, description: string }} Violation */
/** @typedef {Record<string, string | number | string[] | undefined>} Query */
/** @typedef {Parameters<typeof send>[2]} Options */

/** A request that failed, as the API tells it (google.rpc.Status). */
export class ApiError extends Error {
  /**
   * @param {string} message for developers; `ui/words.js` has those for readers
   * @param {object} facts
   * @param {number} [facts.status] the HTTP status; 0 when no answer came
   * @param {string} [facts.reason] of ErrorInfo; what the client decides by
   * @param {Violation[]} [facts.violations]
   * @param {number} [facts.retryAfterSeconds] how long to wait before another try helps
   */
  constructor(message, { status = 0, reason = "", violations = [], retryAfterSeconds = 0 }) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.reason = reason;
    this.violations = violations;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /**
   * Whether nobody can say yet what became of the request, or waiting helps: then it may
   * be repeated under the same Idempotency-Key, and has to be to have one effect only.
   */
  get isUndecided() {
    return this.status === 0 || this.status >= 500 || this.retryAfterSeconds > 0
      || this.status === 429 || this.reason === "REQUEST_IN_PROGRESS";
  }
}

/**
 * Send a request and return the JSON of the answer.
 *
 * @param {string} method
 * @param {string} path
 * @param {object} [options]
 * @param {Query} [options.query]
 * @param {unknown} [options.body] JSON
 * @param {Blob} [options.file] instead of JSON
 * @param {string | null} [options.token] the access token
 * @param {string} [options.key] the Idempotency-Key
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<any>}
 * @throws {ApiError}
 */
export async function send(method, path, { query = {}, body, file, token, key, signal } = {}) {
  const headers = new Headers({ accept: "application/json" });
  if (body !== undefined) headers.set("content-type", "application/json");
  if (file) headers.set("content-type", file.type);
  if (token) headers.set("authorization", `Bearer ${token}`);
  if (key) headers.set("idempotency-key", key);
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response, text;
  try {
    response = await fetch(path + queryString(query), {
      method,
      headers,
      body: file ?? (body === undefined ? undefined : JSON.stringify(body)),
      credentials: "same-origin", // as index.html asks for the first answers
      // A cart's ETag says nothing of prices and stock, which are part of the answer; and
      // what is personal stays out of the browser's cache.
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    text = await response.text();
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError("no answer", { reason: "NO_CONNECTION" });
  }
  const json = parse(text);
  if (!response.ok) {
    const error = failure(response, json);
    console.info(`${method} ${path}: ${error.reason} ${error.message}`); // readers get words of their own
    throw error;
  }
  return json ?? {};
}

/** @param {Query} query */
function queryString(query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) {
      if (each !== undefined && each !== "") parameters.append(name, String(each));
    }
  }
  const text = parameters.toString();
  return text && `?${text}`;
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * @param {Response} response
 * @param {any} json
 */
function failure(response, json) {
  /** @type {any[]} */
  const details = json?.details ?? [];
  /** @param {string} type */
  const detail = (type) => details.find((each) => each["@type"]?.endsWith(`google.rpc.${type}`));
  return new ApiError(json?.message || "no message", {
    status: response.status,
    reason: detail("ErrorInfo")?.reason ?? "",
    violations: detail("BadRequest")?.fieldViolations ?? [],
    retryAfterSeconds: waitOf(response, detail("RetryInfo")?.retryDelay),
  });
}

/**
 * @param {Response} response
 * @param {string | undefined} delay a Duration such as 1.5s
 */
function waitOf(response, delay) {
  const seconds = Number.parseFloat(delay ?? response.headers.get("retry-after") ?? "");
  return Number.isFinite(seconds) ? Math.max(1, Math.ceil(seconds)) : 0;
}

/**
 * The Idempotency-Key of a form: the same one as long as it is the same request and its
 * outcome is not known; so a double click or a lost connection has one effect.
 */
export class RequestKey {
  #key = "";
  #request = "";

  /** @param {unknown} request what will be sent, as JSON */
  for(request) {
    const text = JSON.stringify(request);
    if (!this.#key || text !== this.#request) this.#key = randomKey();
    this.#request = text;
    return this.#key;
  }

  /** The request has its answer; the next one is another. */
  settle() {
    this.#key = "";
    this.#request = "";
  }

  /** @param {unknown} error what the request failed with */
  settleUnlessUndecided(error) {
    if (error instanceof ApiError && !error.isUndecided) this.settle();
  }
}

/** A UUID, version 4 (crypto.randomUUID works in secure contexts only). */
export function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] ?? 0) & 0x0f | 0x40;
  bytes[8] = (bytes[8] ?? 0) & 0x3f | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

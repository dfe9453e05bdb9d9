// Calls with the session's token, and keys that make repeats harmless.

import { ApiError, send } from "./http.js";
import { session } from "./session.js";

/** @typedef {Parameters<typeof send>[2]} Options */

/** @type {() => Promise<boolean>} */
let proveAgain = async () => false;

/**
 * Name what asks the reader for the password again.
 *
 * @param {() => Promise<boolean>} ask says whether it was given
 */
export function setProof(ask) {
  proveAgain = ask;
}

/**
 * Call a method that needs a session, and perhaps a password that was given lately.
 *
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @throws {ApiError}
 */
export async function call(method, path, options = {}) {
  try {
    return await callOnce(method, path, options);
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== "REAUTHENTICATION_REQUIRED") throw error;
    if (await proveAgain()) return callOnce(method, path, options);
    throw error;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Options} options
 */
async function callOnce(method, path, options) {
  const token = await session.token();
  try {
    return await send(method, path, { ...options, token });
  } catch (error) {
    // A wrong current password is a 401 too, and no reason to sign anybody out.
    const isOver = error instanceof ApiError && error.status === 401
      && error.reason !== "INVALID_CREDENTIALS";
    if (isOver && token) session.close(token);
    throw error;
  }
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

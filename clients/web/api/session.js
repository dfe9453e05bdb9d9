// The session: kept in localStorage, renewed before it ends, shared by all tabs; and calls with it.

import { ApiError, send } from "./http.js";

/** @typedef {import("./types.js").Tokens} Tokens */
/**
 * @typedef {object} Kept
 * @property {string} token
 * @property {string} refreshToken
 * @property {string} userId
 * @property {string} email
 * @property {string} role what to show only: what may be done is the server's decision
 * @property {number} expiresAt milliseconds since 1970
 * @property {number} renewAt milliseconds since 1970
 */

const KEY = "lockstep.session";
const VERIFICATION = "lockstep.verification";
const RENEWAL_MS = 5 * 60_000; // before the end, or a tenth of a shorter life
const RETRY_MS = 30_000;

/** Fires `change` whenever somebody signs in or out, here or in another tab. */
class Session extends EventTarget {
  /** @type {number | undefined} */
  #timer;
  /** @type {Promise<void> | null} */
  #renewal = null;

  /** Take up the session that was kept, and follow the other tabs. */
  start() {
    addEventListener("storage", (event) => {
      if (event.key === KEY || event.key === null) this.#changed();
    });
    // Timers sleep with the machine.
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void this.#renewInTime();
    });
    void this.#renewInTime();
  }

  /** @returns {Kept | null} */
  get current() {
    const found = kept(KEY);
    return isWhole(found) ? found : null;
  }

  get isAdmin() {
    return this.current?.role === "admin";
  }

  /** @param {Tokens} tokens */
  open(tokens) {
    this.#keep(tokens);
    this.#changed();
  }

  /**
   * Go on with another session of the same user.
   *
   * @param {Tokens} tokens
   */
  replace(tokens) {
    this.#keep(tokens);
    this.#schedule();
  }

  /** @param {string} email the address that the account has by now */
  readdress(email) {
    const now = this.current;
    if (now) localStorage.setItem(KEY, JSON.stringify({ ...now, email }));
  }

  /** Forget the session, if it is still the one with this token. */
  close(token = this.current?.token) {
    if (!this.current || this.current.token !== token) return;
    localStorage.removeItem(KEY);
    this.#changed();
  }

  /**
   * Return a token that is good for a while, or null without a session.
   *
   * @returns {Promise<string | null>}
   */
  async token() {
    if (isEnding(this.current)) await this.#renewOnce();
    return this.current?.token ?? null;
  }

  /** @param {Tokens} tokens */
  #keep(tokens) {
    const { token, refreshToken, userId, email, expiresIn } = tokens;
    const expiresAt = Date.now() + expiresIn * 1000;
    const renewAt = expiresAt - Math.min(RENEWAL_MS, expiresIn * 100);
    /** @type {Kept} */
    const now = {
      token, refreshToken, userId, email, role: roleOf(token), expiresAt, renewAt,
    };
    localStorage.setItem(KEY, JSON.stringify(now));
  }

  #changed() {
    this.#schedule();
    this.dispatchEvent(new Event("change"));
  }

  #schedule(delay = 0) {
    clearTimeout(this.#timer);
    const now = this.current;
    if (!now) return;
    const wait = Math.max(delay, now.renewAt - Date.now());
    this.#timer = setTimeout(() => void this.#renewInTime(), wait);
  }

  async #renewInTime() {
    try {
      await this.token();
      this.#schedule(1000);
    } catch {
      this.#schedule(RETRY_MS);
    }
  }

  #renewOnce() {
    this.#renewal ??= alone(() => this.#renew()).finally(() => { this.#renewal = null; });
    return this.#renewal;
  }

  async #renew() {
    const old = this.current; // another tab may have renewed it while this one waited
    if (!old || !isEnding(old)) return;
    try {
      const body = { refreshToken: old.refreshToken };
      const tokens = await send("POST", "/v1/auth/refresh", { body });
      if (this.current?.refreshToken === old.refreshToken) this.#keep(tokens);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.close(old.token);
      else if (old.expiresAt < Date.now()) throw error;
    }
  }
}

export const session = new Session();

/**
 * Return what this browser keeps: JSON, which may be damaged or of another version.
 *
 * @param {string} key
 * @returns {any} null where there is no JSON
 */
export const kept = (key) => keptBy(localStorage, key);

/** @param {Storage} storage @param {string} key @returns {any} null where there is no JSON */
export function keptBy(storage, key) {
  try {
    return JSON.parse(storage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

/** @param {string} flowId of a code that was mailed @param {string} email */
export function keepVerification(flowId, email) {
  if (flowId) localStorage.setItem(VERIFICATION, JSON.stringify({ flowId, email }));
}

/**
 * @param {string} email of who is signed in
 * @returns {string | null} the flow of the code that was mailed there, until it is used
 */
export function keptVerification(email) {
  const found = kept(VERIFICATION);
  return String(found?.email).toLowerCase() === email.toLowerCase() ? found.flowId : null;
}

export const forgetVerification = () => localStorage.removeItem(VERIFICATION);

/** @param {any} found */
function isWhole(found) {
  return ["token", "refreshToken", "userId", "email", "role"].every((name) => typeof found?.[name] === "string")
    && ["expiresAt", "renewAt"].every((name) => Number.isFinite(found[name]));
}

/** @param {Kept | null} now */
function isEnding(now) {
  return now !== null && now.renewAt < Date.now();
}

/**
 * Run work while no other tab does, where the browser can tell.
 *
 * @param {() => Promise<void>} work
 * @returns {Promise<void>}
 */
async function alone(work) {
  // Without a secure context there are no locks; the server forgives parallel renewals.
  if (navigator.locks) await navigator.locks.request(KEY, work);
  else await work();
}

/** @param {string} token a JWT */
function roleOf(token) {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    return String(JSON.parse(atob(payload)).role ?? "");
  } catch {
    return "";
  }
}

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
 * @param {import("./http.js").Options} [options]
 * @throws {ApiError}
 */
export async function call(method, path, options = {}) {
  const page = location.hash;
  try {
    return await callOnce(method, path, options);
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== "REAUTHENTICATION_REQUIRED") throw error;
    const isLeft = location.hash !== page; // nobody is asked for what an earlier page needs
    if (!isLeft && await proveAgain()) return callOnce(method, path, options);
    throw error;
  }
}

/** @type {Promise<unknown>} settles when all changes that were sent have their answers */
let changed = Promise.resolve();

/**
 * Send a request. A read waits for the changes that were sent before it, also by a page that the
 * reader has left: so it tells their outcome.
 *
 * @param {string} method
 * @param {string} path
 * @param {import("./http.js").Options} options
 */
function callOnce(method, path, options) {
  if (method === "GET") return changed.then(() => sendSigned(method, path, options));
  const answer = sendSigned(method, path, options);
  changed = Promise.allSettled([changed, answer]);
  return answer;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {import("./http.js").Options} options
 */
async function sendSigned(method, path, options) {
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

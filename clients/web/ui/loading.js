// Content that has to be fetched: a skeleton first, then what came or what went wrong.

import { ApiError } from "../api/http.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { NoticeBox, wordsOf } from "./words.js";

const SLOW_MS = 4000;
/** The browser may say that it is online before requests get through. */
const SETTLING_MS = 10_000;
const AGAIN_MS = 1000;

let onlineSince = -Infinity;
addEventListener("online", () => {
  onlineSince = performance.now();
});

/**
 * Return an element that shows a skeleton until its content has come.
 *
 * @template T
 * @param {object} options
 * @param {() => Promise<T>} options.fetch
 * @param {(result: T) => (Node | false)[]} options.show
 * @param {Node[]} options.skeleton as tall as the content will be
 * @param {AbortSignal} options.signal of the page
 * @param {Kept<T>} [options.kept] what was shown before, for content that nobody types into
 */
export function loaded({ fetch, show, skeleton, signal, kept }) {
  const element = h("div", { class: "loaded" });
  /** @param {T} result */
  const put = (result) => {
    kept?.set(result);
    fill(element, ...show(result));
  };
  /** @param {unknown} error */
  const fail = (error) => fill(element, failed(error, () => void load()));
  const load = async () => {
    element.setAttribute("aria-busy", "true");
    fill(element, ...skeleton);
    const stopWaiting = slowly(element);
    try {
      const result = await fetch();
      if (!signal.aborted) put(result);
    } catch (error) {
      if (!signal.aborted) fail(error);
    }
    stopWaiting();
    element.removeAttribute("aria-busy");
  };
  if (kept) kept.start({ fetch, put, load, signal, gone: fail });
  else void load();
  return element;
}

/**
 * What a page has shown, kept at its place in the history: on a return it is there at once. Then, and when a
 * browser shows a page that it has kept whole, it is asked for again, and shown anew if it has changed.
 *
 * @template T
 */
export class Kept {
  /** @param {Map<string, unknown>} place @param {string} [name] where a page has several */
  constructor(place, name = "result") {
    this.place = place;
    this.name = name;
  }

  /** @returns {T | undefined} */
  get value() {
    return /** @type {T | undefined} */ (this.place.get(this.name));
  }

  /** @param {T} value */
  set(value) {
    this.place.set(this.name, value);
  }

  /**
   * @param {object} how
   * @param {() => Promise<T>} how.fetch
   * @param {(value: T) => void} how.put
   * @param {() => unknown} how.load for the first time
   * @param {AbortSignal} how.signal of the page
   * @param {(error: ApiError) => void} [how.gone] when there is no such thing any more
   */
  start({ fetch, put, load, signal, gone = () => undefined }) {
    const again = async () => {
      try {
        const now = await fetch();
        if (!signal.aborted && JSON.stringify(now) !== JSON.stringify(this.value)) put(now);
      } catch (error) { // without an answer what is shown stays
        if (!signal.aborted && error instanceof ApiError && isMissing(error)) gone(error);
      }
    };
    const { value } = this;
    if (value === undefined) load();
    else {
      put(value);
      void again();
    }
    shownAgain(signal, again);
  }
}

/**
 * Say so when something takes long, to eyes and ears; returns what ends that.
 *
 * @param {HTMLElement} place where it is seen, at its beginning
 */
export function slowly(place) {
  const text = h("p", { class: "slow", role: "status" });
  place.prepend(text);
  let timer = 0;
  const say = () => {
    // What a dialog stands before may wait for its reader, and says so only afterwards.
    if (document.querySelector("dialog[open]") && !text.closest("dialog")) timer = setTimeout(say, SLOW_MS);
    else text.textContent = "This takes longer than usual. We are still trying.";
  };
  timer = setTimeout(say, SLOW_MS);
  return () => {
    clearTimeout(timer);
    text.remove();
  };
}

/**
 * What went wrong, and a way to try again once that can help. When a connection that was lost is
 * back, it is tried again without being asked.
 *
 * @param {unknown} error
 * @param {() => void} retry
 */
export function failed(error, retry) {
  if (error instanceof ApiError && isMissing(error)) return lost();
  const notice = new NoticeBox();
  const retryNow = () => {
    if (again.getAttribute("aria-disabled") !== "true") retry();
  };
  const again = h("button", { class: "button plain", onclick: retryNow }, "Try again");
  const box = h("div", { class: "failed" }, notice, again);
  const retryIfShown = () => {
    if (box.isConnected) retryNow();
  };
  addEventListener("online", retryIfShown, { once: true });
  const isSettling = performance.now() - onlineSince < SETTLING_MS;
  if (error instanceof ApiError && error.status === 0 && isSettling) setTimeout(retryIfShown, AGAIN_MS);
  queueMicrotask(() => notice.say(wordsOf(error)));
  if (error instanceof ApiError && error.retryAfterSeconds > 0) {
    again.setAttribute("aria-disabled", "true");
    queueMicrotask(() => notice.wait(error.retryAfterSeconds, () => {
      again.removeAttribute("aria-disabled");
    }));
  }
  return box;
}

/** Whether what was asked for is not there, or its id can be none. @param {ApiError} error */
function isMissing({ status, violations }) {
  const isId = violations.length > 0 && violations.every(({ field }) => /(_id|Id)$/.test(field));
  return status === 404 || (status === 400 && isId);
}

/**
 * What a reader sees at an address that leads nowhere, and where to go from there.
 *
 * @param {"h1" | "h2"} [heading] h1 when nothing else is on the page
 */
export function lost(heading = "h2") {
  const words = h("input", { type: "search", name: "q", maxlength: 200, "aria-label": "Search the products",
    placeholder: "Search the products" });
  const search = h("form", { class: "lost-search", role: "search", "aria-label": "Products of the shop", onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    location.hash = `/products?q=${encodeURIComponent(words.value.trim())}`;
  } }, words, h("button", { class: "button primary" }, "Search"));
  return h("div", { class: "empty" }, icon("search"), h(heading, {}, "We can't find that"),
    h("p", {}, "The address may be mistyped, or what was here is gone."), search,
    h("p", { class: "lost-links" }, h("a", { href: "#/products" }, "All products"),
      h("a", { href: "#/orders" }, "Your orders"), h("a", { href: "#/cart" }, "Your cart")));
}

/**
 * Look again when a browser shows a page that it has kept whole while the reader was elsewhere.
 *
 * @param {AbortSignal} signal of the page
 * @param {() => unknown} look
 */
export function shownAgain(signal, look) {
  addEventListener("pageshow", (event) => {
    if (event.persisted) look();
  }, { signal });
}

/** @param {number} count @param {string} kind a class of styles/pages.css */
export function bones(count, kind) {
  return Array.from({ length: count }, () => h("div", { class: `bone ${kind}`, "aria-hidden": "true" }));
}

/**
 * @param {import("./icons.js").IconName} name
 * @param {string} title
 * @param {string} text
 * @param {import("./dom.js").Child[]} more left out where false
 */
export function empty(name, title, text, ...more) {
  return h("div", { class: "empty" }, icon(name), h("h2", {}, title), h("p", {}, text), ...more);
}

// Content that has to be fetched: a skeleton first, then what came or what went wrong.

import { ApiError } from "../api/http.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { lost } from "./lost.js";
import { NoticeBox } from "./messages.js";
import { wordsOf } from "./words.js";

const SLOW_MS = 4000;

/**
 * Return an element that shows a skeleton until its content has come.
 *
 * @template T
 * @param {object} options
 * @param {() => Promise<T>} options.fetch
 * @param {(result: T) => (Node | false)[]} options.show
 * @param {Node[]} options.skeleton as tall as the content will be
 * @param {AbortSignal} options.signal of the page
 */
export function loaded({ fetch, show, skeleton, signal }) {
  const element = h("div", { class: "loaded" });
  const load = async () => {
    element.setAttribute("aria-busy", "true");
    const news = h("p", { class: "unseen", role: "status" }, "Loading…");
    fill(element, ...skeleton, news);
    const stopWaiting = slowly(news, element);
    try {
      const result = await fetch();
      if (!signal.aborted) fill(element, ...show(result));
    } catch (error) {
      if (!signal.aborted) fill(element, failed(error, () => void load()));
    }
    stopWaiting();
    element.removeAttribute("aria-busy");
  };
  void load();
  return element;
}

/**
 * Say so when something takes long; returns what ends that.
 *
 * @param {HTMLElement} news what is read out
 * @param {HTMLElement} place where it is seen
 */
export function slowly(news, place) {
  const text = "This takes longer than usual. We are still trying.";
  const seen = h("p", { class: "slow", "aria-hidden": "true" }, text);
  const timer = setTimeout(() => {
    news.textContent = text;
    place.prepend(seen);
  }, SLOW_MS);
  return () => {
    clearTimeout(timer);
    seen.remove();
  };
}

/**
 * What went wrong, and a way to try again once that can help.
 *
 * @param {unknown} error
 * @param {() => void} retry
 */
export function failed(error, retry) {
  if (error instanceof ApiError && isMissing(error)) return lost();
  const notice = new NoticeBox();
  const again = h("button", { class: "button plain", onclick: () => {
    if (again.getAttribute("aria-disabled") !== "true") retry();
  } }, "Try again");
  const box = h("div", { class: "failed" }, notice, again);
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

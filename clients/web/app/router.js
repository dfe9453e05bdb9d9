// Addresses (#/products/...) to pages. Each history entry keeps its own place: what it
// had loaded and how far it was scrolled.

import { session } from "../api/session.js";
import { fill, h } from "../ui/dom.js";
import { icon } from "../ui/icons.js";
import { lost, slowly } from "../ui/loading.js";

/**
 * @typedef {object} Visit
 * @property {Record<string, string>} params parts of the path
 * @property {URLSearchParams} query
 * @property {AbortSignal} signal aborted when the page is left
 * @property {Map<string, unknown>} place kept for the way back to this history entry
 */
/** @typedef {(visit: Visit) => { title: string, content: Node[] }} Page */
/**
 * @typedef {object} Route
 * @property {string} path such as /products/:id
 * @property {() => Promise<{ page: Page }>} load
 * @property {"anyone" | "guest" | "user" | "brand" | "admin"} access
 */

const HOME = "/";
const SCROLL = "scroll";

/** @type {Map<string, Map<string, unknown>>} by the id of the history entry */
const places = new Map();
let entry = "";
/** The history entry whose page is on the screen; another one may be loading. */
let shown = "";
/** @type {string[]} the pages that were shown last and before that */
let trail = [];
let leave = new AbortController();

/**
 * Show the page of the address, now and whenever it changes.
 *
 * @param {Route[]} routes
 * @param {HTMLElement} main
 */
export function startRouter(routes, main) {
  history.scrollRestoration = "manual";
  addEventListener("hashchange", () => void show(routes, main));
  let reader = session.current?.userId;
  session.addEventListener("change", () => {
    const now = session.current?.userId;
    if (reader && reader !== now) places.clear(); // what somebody has seen is not for the next one
    reader = now;
    followSession(routes);
  });
  void show(routes, main);
}

/**
 * @param {string} path
 * @param {{ replace?: boolean }} [options]
 */
export function go(path, { replace = false } = {}) {
  if (replace) location.replace(`#${path}`);
  else location.hash = path;
}

/** Whether a path was shown right before the page that is shown. @param {string} path */
export const cameFrom = (path) => trail[1] === path;

/** Show the page anew, because what it is about has changed. */
export function showAgain() {
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/**
 * Where the reader wanted to go before having to sign in; a path of this application. Who has just become
 * a seller, and wanted nothing else, begins with the first product.
 */
function wantedPath() {
  const { path, query } = current();
  const wanted = query.get("to") ?? "";
  if (/^\/(?!\/)/.test(wanted)) return wanted;
  return path === "/sign-up" && session.current?.role === "brand" ? "/sell" : HOME;
}

/**
 * Keep the address in step with what the page shows, without leaving it.
 *
 * @param {URLSearchParams} query
 */
export function replaceQuery(query) {
  const text = query.toString();
  history.replaceState(history.state, "", `#${current().path}${text && `?${text}`}`);
}

function current() {
  const [path = "", query = ""] = location.hash.slice(1).split("?");
  return { path: path || HOME, query: new URLSearchParams(query) };
}

/** @param {Route[]} routes */
function followSession(routes) {
  const { path } = current();
  const access = match(routes, path)?.route.access;
  const needsSession = access !== undefined && access !== "anyone" && access !== "guest";
  if (needsSession && !session.current) {
    go(`/sign-in?to=${encodeURIComponent(location.hash.slice(1))}`, { replace: true });
  } else if (access === "guest" && session.current) {
    go(wantedPath(), { replace: true });
  }
}

/**
 * @param {Route[]} routes
 * @param {HTMLElement} main
 */
async function show(routes, main) {
  places.get(shown)?.set(SCROLL, scrollY);
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { path, query } = current();
  const found = match(routes, path);
  const refusal = found && redirection(found.route);
  if (refusal) {
    go(refusal, { replace: true });
    return;
  }
  const { place, isReturn } = enter();
  main.setAttribute("aria-busy", "true");
  const stopWaiting = slowly(main);
  const visit = { params: found?.params ?? {}, query, signal, place };
  const made = found ? await load(found.route, visit) : LOST();
  stopWaiting();
  if (signal.aborted) return;
  document.title = `${made.title} · Lockstep`;
  trail = [path, trail[0] ?? ""];
  fill(main, ...made.content);
  shown = entry;
  main.removeAttribute("aria-busy");
  dispatchEvent(new CustomEvent("pageshown", { detail: path }));
  settle(main, isReturn ? Number(place.get(SCROLL) ?? 0) : 0);
}

const LOST = () => ({
  title: "Not found", content: [h("div", { class: "page" }, lost("h1"))],
});

/**
 * @param {Route} route
 * @param {Visit} visit
 */
async function load(route, visit) {
  try {
    return (await route.load()).page(visit);
  } catch (error) {
    console.error(error);
    return { title: "Not loaded", content: [notLoaded()] };
  }
}

function notLoaded() {
  const box = h("div", { class: "page empty" }, icon("alert"),
    h("h1", {}, "This page did not load"),
    h("p", {}, "Check the connection, then try again."),
    h("button", { class: "button primary", onclick: tryAgain }, "Try again"));
  addEventListener("online", () => {
    if (box.isConnected) location.reload();
  }, { once: true });
  return box;
}

/** Without a connection a reload would lose the page that is there. */
function tryAgain() {
  if (navigator.onLine) location.reload();
  else showAgain();
}

/** @param {Route} route */
function redirection({ access }) {
  const now = session.current;
  if (access === "guest" && now) return wantedPath();
  if (access === "anyone" || access === "guest") return "";
  if (!now) return `/sign-in?to=${encodeURIComponent(location.hash.slice(1))}`;
  return access === "user" || access === now.role ? "" : HOME;
}

/** Take up the place of the history entry that is now shown. */
function enter() {
  const known = history.state?.entry;
  const isReturn = places.has(known);
  entry = known ?? `${Date.now()}-${places.size}`;
  if (!known) history.replaceState({ entry }, "");
  const place = places.get(entry) ?? new Map();
  places.set(entry, place);
  return { place, isReturn };
}

/**
 * Put focus and scroll position where a reader expects them on a page that has changed.
 *
 * @param {HTMLElement} main
 * @param {number} top
 */
function settle(main, top) {
  const heading = main.querySelector("h1");
  heading?.setAttribute("tabindex", "-1");
  (heading ?? main).focus({ preventScroll: true });
  scrollTo({ top, behavior: "instant" });
}

/**
 * @param {Route[]} routes
 * @param {string} path
 */
function match(routes, path) {
  const parts = path.split("/");
  for (const route of routes) {
    const params = matchParts(route.path.split("/"), parts);
    if (params) return { route, params };
  }
  return null;
}

/**
 * @param {string[]} pattern
 * @param {string[]} parts
 * @returns {Record<string, string> | null}
 */
function matchParts(pattern, parts) {
  if (pattern.length !== parts.length) return null;
  /** @type {Record<string, string>} */
  const params = {};
  for (const [index, name] of pattern.entries()) {
    const part = parts[index] ?? "";
    if (!name.startsWith(":")) {
      if (name !== part) return null;
      continue;
    }
    try {
      params[name.slice(1)] = decodeURIComponent(part);
    } catch {
      return null; // such as 100%, which no link of ours has
    }
  }
  return params;
}

// Links that choose what a page shows.

import { h } from "./dom.js";

/**
 * @param {string} label
 * @param {string} base the address of the page
 * @param {string} name of the query parameter
 * @param {string} chosen
 * @param {[value: string, label: string][]} choices the first is the one without a parameter
 */
export function tabs(label, base, name, chosen, choices) {
  return h("nav", { class: "tabs", "aria-label": label }, ...choices.map(([value, text]) => h("a", {
    href: value ? `${base}?${name}=${value}` : base, "aria-current": value === chosen ? "page" : null,
  }, text)));
}

/**
 * @param {string} label
 * @param {string} path that is shown
 * @param {[path: string, label: string][]} pages
 */
export function pageTabs(label, path, pages) {
  return h("nav", { class: "tabs", "aria-label": label }, ...pages.map(([each, text]) => h("a", {
    href: `#${each}`, "aria-current": each === path ? "page" : null,
  }, text)));
}

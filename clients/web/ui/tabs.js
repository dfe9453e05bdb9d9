// Links that choose what a page shows.

import { h } from "./dom.js";

/** @typedef {[value: string, label: string][]} Choices the first is the one without a parameter */

/**
 * Chips that narrow the list of a page.
 *
 * @param {string} label
 * @param {string} base the address of the page
 * @param {string} name of the query parameter
 * @param {string} chosen
 * @param {Choices} choices
 */
export function filterChips(label, base, name, chosen, choices) {
  return showingChosen(h("nav", { class: "chips", "aria-label": label }, ...choices.map(([value, text]) => h("a", {
    class: "chip", href: value ? `${base}?${name}=${value}` : base, "aria-current": value === chosen ? "true" : null,
  }, text))));
}

/**
 * The parts of an area, each with an address.
 *
 * @param {string} label
 * @param {string} path that is shown
 * @param {[path: string, label: string][]} pages
 */
export function pageTabs(label, path, pages) {
  return showingChosen(h("nav", { class: "tabs", "aria-label": label }, ...pages.map(([each, text]) => h("a", {
    href: `#${each}`, "aria-current": each === path ? "page" : null,
  }, text))));
}

/** Where not all of them fit, bring the chosen one into sight as soon as the page is shown. @param {HTMLElement} strip */
function showingChosen(strip) {
  addEventListener("pageshown", () => {
    const chosen = /** @type {HTMLElement | null} */ (strip.querySelector("[aria-current]"));
    if (chosen) strip.scrollLeft += chosen.getBoundingClientRect().right - strip.getBoundingClientRect().right;
  }, { once: true });
  return strip;
}

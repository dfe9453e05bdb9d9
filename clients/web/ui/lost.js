// What a reader sees at an address that leads nowhere, and where to go from there.

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** @param {"h1" | "h2"} [heading] h1 when nothing else is on the page */
export function lost(heading = "h2") {
  const words = h("input", { type: "search", name: "q", maxlength: 200, "aria-label": "Search the products",
    placeholder: "Search the products" });
  const search = h("form", { class: "lost-search", role: "search", onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    location.hash = `/products?q=${encodeURIComponent(words.value.trim())}`;
  } }, words, h("button", { class: "button primary" }, "Search"));
  return h("div", { class: "empty" }, icon("search"), h(heading, {}, "We can't find that"),
    h("p", {}, "The address may be mistyped, or what was here is gone."), search,
    h("p", { class: "lost-links" }, h("a", { href: "#/products" }, "All products"),
      h("a", { href: "#/orders" }, "Your orders"), h("a", { href: "#/cart" }, "Your cart")));
}

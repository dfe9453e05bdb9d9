// A product in a list.

import { h } from "./dom.js";
import { money } from "./format.js";
import { bones, failed, Kept, slowly } from "./loading.js";
import { picture } from "./picture.js";

/** @typedef {import("../api/types.js").Product} Product */

const FEW = 10;

/** @param {Product} product @param {{ isFirst?: boolean, heading?: "h2" | "h3" }} [how] */
export function productCard(product, { isFirst = false, heading = "h2" } = {}) {
  const stock = stockText(product.stock);
  return h("article", { class: "product-card" },
    h("div", { class: "product-picture" }, picture(product, { isSmall: true, isFirst }),
      stock && h("span", { class: `tag on-picture ${product.stock ? "tag-warn" : "tag-plain"}` }, stock)),
    h("div", { class: "product-text" },
      kind(product),
      h(heading, { class: "product-name" }, h("a", { href: `#/products/${product.id}` }, product.name)),
      h("p", { class: "price" }, money(product.price))));
}

/** Who sells it and what it is, in one line whose height is there before the brand. @param {Product} product */
function kind({ sellerId, category }) {
  const name = category?.name ?? "\u00a0";
  const line = h("p", { class: "category clip" }, name);
  if (sellerId) void lookUp().then((found) => found?.brandNames.want(sellerId, (brand) => { line.textContent = `${brand} · ${name}`; }));
  return line;
}

/** @type {Promise<typeof import("./look-up.js") | null> | null} one for all cards, so that the cards of a list ask in one turn */
let loading = null;

/** Loaded later, to keep the first page small; null when it does not come. */
function lookUp() {
  loading ??= import("./look-up.js").catch(() => (loading = null));
  return loading;
}

/** What is worth saying about a stock. @param {number} stock */
export function stockText(stock) {
  if (stock === 0) return "Sold out";
  return stock < FEW ? `Only ${stock} left` : "";
}

/**
 * A row of products; nothing where there are none.
 *
 * @param {string} title
 * @param {string} more the address of all of them
 * @param {() => Promise<Product[]>} fetch
 * @param {{ signal: AbortSignal, place?: Map<string, unknown>, isFirst?: boolean }} how its page, where it is kept for a return
 */
export function shelf(title, more, fetch, { signal, place = new Map(), isFirst = false }) {
  const grid = h("ul", { class: "grid" }, ...bones(4, "bone-card").map((each) => h("li", { "aria-hidden": "true" }, each)));
  const section = h("section", { class: "shelf-section", "aria-busy": "true" },
    h("div", { class: "page-head" }, h("h2", {}, title), h("a", { href: more }, "See all", h("span", { class: "unseen" }, `: ${title}`))), grid);
  /** @type {Kept<Product[]>} */
  const kept = new Kept(place, `shelf ${more}`);
  /** @param {Product[]} products */
  const put = (products) => {
    kept.set(products);
    section.hidden = products.length === 0;
    grid.replaceChildren(...products.map((each, index) => h("li", {}, productCard(each, { heading: "h3", isFirst: isFirst && index < 4 }))));
    section.removeAttribute("aria-busy");
  };
  const load = async () => {
    const stopWaiting = slowly(section);
    try {
      const products = await fetch();
      if (signal.aborted) return;
      put(products);
    } catch (error) {
      if (!signal.aborted) grid.replaceChildren(h("li", { class: "whole" }, failed(error, () => void load())));
    }
    stopWaiting();
    section.removeAttribute("aria-busy");
  };
  kept.start({ fetch, put, load, signal });
  return section;
}

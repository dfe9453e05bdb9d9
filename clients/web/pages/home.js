// The start: what the shop is, what is new, and some of its categories.

import { catalog } from "../api/lockstep.js";
import { verificationBanner } from "../app/shell.js";
import { h } from "../ui/dom.js";
import { drawing } from "../ui/icons.js";
import { Kept } from "../ui/loading.js";
import { shelf } from "../ui/product-card.js";

/** @typedef {import("../api/types.js").Category} Category */

const NEW = 8;
const OF_CATEGORY = 4;
const CATEGORIES = 3;
const NAMES = 12;
const AT_ONCE = 100;
const FRESH_MS = 15_000;

// index.html asks for the first answers by these two addresses, of which no other page has one. A
// browser keeps what came until a page asks: whoever comes here later asks by another address.
const isEarly = () => performance.now() < FRESH_MS;
const newest = () => ({ sort: "newest", minStock: 1, limit: isEarly() ? NEW : NEW + 1 });
const categoriesAtOnce = () => (isEarly() ? AT_ONCE : AT_ONCE - 1);

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal, place }) {
  const rows = h("div");
  const names = h("ul", { class: "chips category-chips", "aria-label": "Categories" });
  fillCategories(rows, names, signal, place);
  return {
    title: "Welcome",
    content: [h("div", { class: "page" }, verificationBanner(), hero(), names,
      shelf("New", "#/products?sort=newest", async () => (await products(newest(), signal)).slice(0, NEW), { signal, place, isFirst: true }), rows)],
  };
}

function hero() {
  return h("section", { class: "hero" },
    h("div", {}, h("h1", {}, "Good things, made well"),
      h("p", { class: "lead" }, "From the makers themselves. Delivery is free, and what you do not like goes back."),
      h("p", { class: "actions" }, h("a", { class: "button primary", href: "#/products" }, "See all products"))),
    h("div", { class: "hero-art", "aria-hidden": "true" }, ...["lamp", "cup", "plant", "bag", "bike", "cake"].map((each) => drawing(each))));
}

/** @param {Record<string, string | number>} query @param {AbortSignal} signal */
const products = async (query, signal) => (await catalog.products(query, signal)).products;

/** Without categories the page still shows what is new. @param {HTMLElement} rows @param {HTMLElement} names @param {AbortSignal} signal @param {Map<string, unknown>} place */
function fillCategories(rows, names, signal, place) {
  /** @type {Kept<Category[]>} */
  const kept = new Kept(place, "categories");
  const fetch = () => catalog.categories(signal, categoriesAtOnce());
  /** @param {Category[]} found */
  const put = (found) => {
    if (signal.aborted) return;
    kept.set(found);
    const chips = found.slice(0, NAMES).map(({ id, name }) => chip(name, `#/products?category=${id}`));
    const left = found.length - chips.length;
    names.replaceChildren(...chips, ...(left > 0 ? [chip(`${left} more`, "#/products")] : []));
    rows.replaceChildren(...found.slice(0, CATEGORIES).map(({ id, name }) => shelf(name, `#/products?category=${id}`,
      () => products({ category: id, minStock: 1, limit: OF_CATEGORY }, signal), { signal, place })));
  };
  kept.start({ fetch, put, load: () => fetch().then(put, () => undefined), signal });
}

/** @param {string} text @param {string} href */
const chip = (text, href) => h("li", {}, h("a", { class: "chip", href }, text));

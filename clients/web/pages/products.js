// The products: searched, filtered, sorted, loading on as far as the reader goes.

import { catalog } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { replaceQuery } from "../app/router.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { money, number } from "../ui/format.js";
import { KeysetList } from "../ui/keyset-list.js";
import { empty } from "../ui/loading.js";
import { picture } from "../ui/picture.js";
import { amount, atMost, notBelow } from "../ui/rules.js";
import { keptVerification } from "./verification.js";

/** @import { Product, ProductPage } from "../api/types.js" */
/** @import { Visit } from "../app/router.js" */

const PAGE = 24;
const PAUSE_MS = 350;
const FILTERS = ["q", "category", "minPrice", "maxPrice", "sort"];
const TOTAL = "total";
/** @type {[string, string][]} */
const SORTS = [
  ["", "Best match, or newest"], ["newest", "Newest first"], ["price", "Cheapest first"], ["-price", "Dearest first"],
  ["name", "Name, A to Z"], ["-name", "Name, Z to A"],
];

/** @param {Visit} visit */
export function page(visit) {
  const results = h("div", { class: "results" });
  const total = h("p", { class: "total", role: "status" });
  const filters = new Filters(visit.query, (query) => {
    replaceQuery(query);
    visit.place.clear();
    show(query);
  }, visit.signal);
  /** @param {URLSearchParams} query */
  const show = (query) => fill(results, productList(query, visit, total));
  show(visit.query);
  const content = h("div", { class: "page" }, verificationBanner(),
    h("div", { class: "page-head" }, h("h1", {}, "Products"), total), filters.element, results);
  return { title: "Products", content: [content] };
}

/**
 * @param {URLSearchParams} query
 * @param {Visit} visit
 * @param {HTMLElement} total
 */
function productList(query, visit, total) {
  const filters = Object.fromEntries(query);
  /** @param {ProductPage["metadata"]} metadata */
  const showTotal = ({ total: count, totalIsLowerBound }) => {
    const text = `${totalIsLowerBound ? "More than " : ""}${number(count)} found`;
    visit.place.set(TOTAL, text);
    total.textContent = text;
  };
  total.textContent = String(visit.place.get(TOTAL) ?? "");
  /** @type {string[]} */
  let suggestions = [];
  return new KeysetList({
    noun: "products", kind: "grid", bone: "bone-card", signal: visit.signal, place: visit.place,
    async fetch(pageToken) {
      const found = await catalog.products({ ...filters, limit: PAGE, pageToken }, visit.signal);
      showTotal(found.metadata);
      suggestions = found.suggestions ?? [];
      return { items: found.products, next: found.nextPageToken };
    },
    show: card,
    empty: () => nothingFound(query, suggestions),
  });
}

/** @param {URLSearchParams} query @param {string[]} suggestions */
function nothingFound(query, suggestions) {
  const links = suggestions.flatMap((words, index) => [
    index ? ", " : "Did you mean ",
    h("a", { href: `#/products?${new URLSearchParams({ q: words })}` }, words),
  ]);
  return empty("search", "Nothing found",
    query.size ? "No product matches. Try fewer words or a wider price range."
      : "There are no products yet.",
    links.length > 0 && h("p", {}, ...links, "?"));
}

/** @param {Product} product */
function card(product) {
  const stock = product.stock > 0 ? "" : "Sold out";
  return h("article", { class: "product-card" }, picture(product, { isSmall: true }),
    h("div", { class: "product-text" },
      h("p", { class: "category" }, product.category?.name ?? "\u00a0"),
      h("h2", {}, h("a", { href: `#/products/${product.id}` }, product.name)),
      h("p", { class: "price" }, money(product.price),
        stock && h("span", { class: "tag tag-warn" }, stock))));
}

function verificationBanner() {
  const email = session.current?.email;
  return email && keptVerification(email) && h("p", { class: "banner" },
    "A code was mailed to you. ", h("a", { href: "#/verify" }, "Confirm your e-mail address"), ".");
}

/** The form of filters; tells the query whenever it has changed and is right. */
class Filters {
  /** @type {number | undefined} */
  #pause;

  /**
   * @param {URLSearchParams} query
   * @param {(query: URLSearchParams) => void} changed
   * @param {AbortSignal} signal
   */
  constructor(query, changed, signal) {
    this.changed = changed;
    this.last = query.toString();
    this.fields = makeFields(query);
    for (const field of this.fields) {
      field.form = () => this.values;
      field.addEventListener("input", () => this.#soon());
    }
    const details = h("details", { class: "more-filters", open: isWide() || hasFilters(query) },
      h("summary", {}, "Filters"), h("div", { class: "filter-fields" }, ...this.fields.slice(1)));
    this.element = h("form", {
      class: "filters", role: "search", novalidate: true,
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        this.#apply();
      },
    }, ...this.fields.slice(0, 1), details);
    void this.#fillCategories(query, signal);
  }

  get values() {
    return Object.fromEntries(this.fields.map((field) => [field.name, field.value]));
  }

  #soon() {
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => this.#apply(), PAUSE_MS);
  }

  #apply() {
    clearTimeout(this.#pause);
    if (!this.fields.every((field) => field.check())) return;
    const query = new URLSearchParams();
    for (const name of FILTERS) {
      const value = this.values[name] ?? "";
      if (value) query.set(name, name.endsWith("Price") ? value.replace(",", ".") : value);
    }
    if (query.toString() === this.last) return;
    this.last = query.toString();
    this.changed(query);
  }

  /** @param {URLSearchParams} query @param {AbortSignal} signal */
  async #fillCategories(query, signal) {
    const select = this.fields.find((field) => field.name === "category")?.control;
    const found = await catalog.categories(signal).catch(() => null); // the list says what is wrong
    for (const { id, name } of found?.categories ?? []) {
      select?.append(h("option", { value: id, selected: id === query.get("category") }, name));
    }
  }
}

/** @param {URLSearchParams} query */
function makeFields(query) {
  /** @param {string} name */
  const value = (name) => query.get(name) ?? "";
  return [
    new FormField({ name: "q", label: "Search", value: value("q"), required: false, rules: [atMost(200)],
      attributes: { type: "search", placeholder: "Words of a product", enterkeyhint: "search" } }),
    new FormField({ name: "category", label: "Category", type: "select", options: [["", "All"]] }),
    new FormField({ name: "minPrice", label: "Price from", rules: [amount], value: value("minPrice"),
      attributes: { inputmode: "decimal" } }),
    new FormField({ name: "maxPrice", label: "Price to", rules: [amount, notBelow("minPrice")],
      value: value("maxPrice"), attributes: { inputmode: "decimal" } }),
    new FormField({ name: "sort", label: "Sort", type: "select", options: SORTS, value: value("sort") }),
  ];
}

const isWide = () => matchMedia("(min-width: 48rem)").matches;

/** @param {URLSearchParams} query */
const hasFilters = (query) => FILTERS.some((name) => name !== "q" && query.has(name));

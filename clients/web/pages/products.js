// The products: searched, filtered, sorted, loading on as far as the reader goes.

import { catalog } from "../api/lockstep.js";
import { replaceQuery } from "../app/router.js";
import { verificationBanner } from "../app/shell.js";
import { loadCurrency } from "../ui/currency.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { number } from "../ui/format.js";
import { KeysetList } from "../ui/keyset-list.js";
import { empty } from "../ui/loading.js";
import { productCard } from "../ui/product-card.js";
import { amount, notBelow } from "../ui/rules.js";
import { perhaps } from "./perhaps.js";

/** @import { ProductPage } from "../api/types.js" */
/** @import { Visit } from "../app/router.js" */

const PAGE = 24;
const PAUSE_MS = 350;
const FIRST = 4;
const FILTERS = ["q", "category", "seller", "minPrice", "maxPrice", "minStock", "sort"];
const TOTAL = "total";
/** @type {[string, string][]} */
const SORTS = [
  ["", "Best match"], ["newest", "Newest first"], ["price", "Cheapest first"], ["-price", "Dearest first"],
  ["name", "Name, A to Z"], ["-name", "Name, Z to A"],
];

/** @param {Visit} visit */
export function page(visit) {
  const results = h("div", { class: "results" });
  const total = h("p", { class: "total", role: "status" });
  const chips = h("ul", { class: "chips", "aria-label": "Filters that are applied" });
  const filters = new Filters(visit.query, (query) => {
    replaceQuery(query);
    visit.place.clear();
    show(query);
  }, visit.signal);
  /** @param {URLSearchParams} query */
  const show = (query) => {
    fill(results, productList(query, visit, total));
    fill(chips, ...filters.chips(query));
  };
  filters.wrong = () => {
    total.textContent = "";
    fill(results, empty("search", "Something in the filters is not right", "Mend what is marked, and the products come back."));
  };
  filters.named = () => fill(chips, ...filters.chips(filters.query));
  show(visit.query);
  const content = h("div", { class: "page" }, verificationBanner(),
    h("div", { class: "page-head" }, h("h1", {}, "Products"), h("div", { class: "list-head" }, total, filters.sort)),
    h("div", { class: "with-filters" }, filters.element, h("div", { class: "found-products" }, chips, results)));
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
  let shown = 0;
  return new KeysetList({
    noun: "products", kind: "grid", bone: "bone-card", signal: visit.signal, place: visit.place,
    async fetch(pageToken) {
      const found = await catalog.products({ ...filters, limit: PAGE, pageToken }, visit.signal);
      showTotal(found.metadata);
      suggestions = found.suggestions ?? [];
      return { items: found.products, next: found.nextPageToken };
    },
    show: (product) => productCard(product, { isFirst: shown++ < FIRST }),
    empty: () => nothingFound(query, suggestions, visit.signal),
  });
}

/** @param {URLSearchParams} query @param {string[]} suggestions @param {AbortSignal} signal */
function nothingFound(query, suggestions, signal) {
  const links = suggestions.flatMap((words, index) => [
    index ? ", " : "Did you mean ",
    h("a", { href: `#/products?${new URLSearchParams({ q: words })}` }, words),
  ]);
  if (!query.size) return empty("search", "Nothing found", "There are no products yet.");
  return h("div", {}, empty("search", "Nothing found", "No product matches. Try fewer words or a wider price range.",
    links.length > 0 && h("p", {}, ...links, "?"), h("p", {}, h("a", { href: "#/products" }, "Clear the filters"))),
  perhaps(signal));
}

/** The form of filters; tells the query whenever it has changed and is right. */
class Filters {
  /** @type {number | undefined} */
  #pause;
  /** @type {Map<string, string>} names of categories by id */
  #categories = new Map();
  wrong = () => {};
  named = () => {};

  /**
   * @param {URLSearchParams} query
   * @param {(query: URLSearchParams) => void} changed
   * @param {AbortSignal} signal
   */
  constructor(query, changed, signal) {
    this.changed = changed;
    this.query = query;
    this.fields = makeFields(query);
    this.sort = this.fields[0] ?? null;
    void loadCurrency();
    for (const field of this.fields) {
      field.form = () => this.values;
      field.addEventListener("input", () => this.#soon());
    }
    this.stock = h("input", { type: "checkbox", name: "minStock", checked: query.has("minStock"), onchange: () => this.#apply() });
    this.details = h("details", { class: "more-filters", open: isWide() },
      h("summary", {}, "Filters"), h("div", { class: "filter-fields" }, ...this.fields.slice(1),
        h("label", { class: "check" }, this.stock, "Only what is in stock")));
    this.element = h("form", {
      class: "filters", "aria-label": "Filters", novalidate: true,
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        this.#apply();
      },
    }, this.details);
    void this.#fillCategories(query, signal);
  }

  get values() {
    return Object.fromEntries(this.fields.map((field) => [field.name, field.value]));
  }

  /** What is applied, each with a way to take it off. @param {URLSearchParams} query */
  chips(query) {
    /** @type {Record<string, (value: string) => string>} */
    const texts = {
      q: (value) => `“${value}”`, category: (value) => this.#categories.get(value) ?? "Category", seller: () => "One seller",
      minPrice: (value) => `From ${value}`, maxPrice: (value) => `Up to ${value}`, minStock: () => "In stock",
    };
    const applied = [...query].filter(([name]) => name in texts);
    const links = applied.map(([name, value]) => {
      const text = texts[name]?.(value) ?? value;
      return h("li", {}, h("a", { class: "chip", href: without(query, [name]), "aria-label": `Remove the filter ${text}` }, text, " ×"));
    });
    if (applied.length > 1) links.push(h("li", {}, h("a", { href: without(query, applied.map(([name]) => name)) }, "Clear all")));
    return links;
  }

  #soon() {
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => this.#apply(), PAUSE_MS);
  }

  #apply() {
    clearTimeout(this.#pause);
    if (this.fields.filter((field) => !field.check()).length) return this.wrong();
    const query = new URLSearchParams();
    const kept = { q: this.query.get("q") ?? "", seller: this.query.get("seller") ?? "", minStock: this.stock.checked ? "1" : "" };
    for (const name of FILTERS) {
      const value = { ...kept, ...this.values }[name] ?? "";
      if (value) query.set(name, name.endsWith("Price") ? value.replace(",", ".") : value);
    }
    this.query = query;
    this.changed(query);
  }

  /** @param {URLSearchParams} query @param {AbortSignal} signal */
  async #fillCategories(query, signal) {
    const select = this.fields.find((field) => field.name === "category")?.control;
    const found = await catalog.categories(signal).catch(() => []); // the list says what is wrong
    for (const { id, name } of found) {
      this.#categories.set(id, name);
      select?.append(h("option", { value: id, selected: id === query.get("category") }, name));
    }
    this.named();
  }
}

/** @param {URLSearchParams} query @param {string[]} names */
function without(query, names) {
  const rest = new URLSearchParams([...query].filter(([name]) => !names.includes(name)));
  return `#/products${rest.size ? `?${rest}` : ""}`;
}

/** @param {URLSearchParams} query */
function makeFields(query) {
  /** @param {string} name */
  const value = (name) => query.get(name) ?? "";
  return [
    new FormField({ name: "sort", label: "Sort", type: "select", options: SORTS, value: value("sort") }),
    new FormField({ name: "category", label: "Category", type: "select", options: [["", "All"]] }),
    new FormField({ name: "minPrice", label: "Price from", rules: [amount], value: value("minPrice"),
      attributes: { inputmode: "decimal" } }),
    new FormField({ name: "maxPrice", label: "Price to", rules: [amount, notBelow("minPrice")],
      value: value("maxPrice"), attributes: { inputmode: "decimal" } }),
  ];
}

const isWide = () => matchMedia("(min-width: 60rem)").matches;

// A list of products for those who may change them: price, stock with - and +, and the way to
// the page of each.

import { catalog } from "../api/lockstep.js";
import { actionButton } from "../ui/action-button.js";
import { fill, h } from "../ui/dom.js";
import { counted, money } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { KeysetList } from "../ui/keyset-list.js";
import { empty } from "../ui/loading.js";
import { picture } from "../ui/picture.js";
import { tableRow } from "../ui/table.js";
import { filterChips } from "../ui/tabs.js";

/** @import { Product } from "../api/types.js" */

const LOW = 9;
const COLUMNS = [{ title: "Product", kind: "main" }, { title: "Category", kind: "minor" }, { title: "Stock", kind: "stock" }, { title: "Price", kind: "end amount" }];
/** @type {Record<string, [label: string, query: Record<string, string | number>]>} */
const SHOWN = {
  "": ["All", {}],
  low: ["Low", { minStock: 1, maxStock: LOW, sort: "stock" }],
  out: ["Sold out", { maxStock: 0 }],
};

/**
 * @param {import("../app/router.js").Visit} visit
 * @param {string} base the path of this list, such as /sell
 * @param {string} toProduct what the address of a product begins with
 * @param {Record<string, string>} always what the list is narrowed to
 */
export function productRows({ query, signal, place }, base, toProduct, always) {
  const shown = query.get("show") ?? "";
  const filters = { ...SHOWN[shown]?.[1], ...always, q: query.get("q") ?? "", category: query.get("category") ?? "" };
  const list = new KeysetList({
    noun: "products", columns: COLUMNS, bone: "bone-cell", signal, place,
    async fetch(pageToken) {
      const found = await catalog.products({ ...filters, limit: 24, pageToken }, signal);
      return { items: found.products, next: found.nextPageToken };
    },
    show: (product) => productRow(product, toProduct),
    empty: () => (shown || filters.q ? empty("search", "None of these", "No product matches.")
      : empty("shop", "No products yet", "Add the first one; it is in the shop at once.",
        h("a", { class: "button primary", href: `#${base}/new` }, "Add a product"))),
  });
  const chips = filterChips("Stock", `#${base}`, "show", shown, Object.entries(SHOWN).map(([key, [label]]) => [key, label]));
  return [h("div", { class: "list-tools" }, chips, search(base, filters.q)), list];
}

/** @param {string} base @param {string} words */
function search(base, words) {
  const field = h("input", { type: "search", name: "own", "aria-label": "Search these products", placeholder: "Search these products", maxlength: 200 });
  field.value = words;
  return h("form", { class: "row-search", role: "search", "aria-label": "These products", onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    location.hash = `${base}?${new URLSearchParams({ q: field.value.trim() })}`;
  } }, field, h("button", { class: "button plain" }, "Find"));
}

/** @param {Product} first @param {string} toProduct */
function productRow(first, toProduct) {
  const stock = h("div", { class: "stock-control" });
  /** @param {Product} product */
  const show = (product) => fill(stock, adjust(product, -1, "minus", show),
    h("span", { class: "stock-count", role: "status" }, product.stock ? counted(product.stock, "piece") : h("span", { class: "tag tag-warn" }, "Sold out")),
    adjust(product, 1, "plus", show));
  show(first);
  return tableRow(COLUMNS,
    h("div", { class: "pictured" }, picture(first, { isSmall: true }), h("a", { class: "row-link", href: `${toProduct}${first.id}` }, first.name)),
    first.category?.name ?? "", stock, money(first.price));
}

/** @param {Product} product @param {number} delta @param {"minus" | "plus"} name @param {(product: Product) => void} changed */
function adjust(product, delta, name, changed) {
  const label = `${delta < 0 ? "One less" : "One more"} of ${product.name}`;
  const button = actionButton({ "aria-label": label, "aria-disabled": product.stock + delta < 0 ? "true" : null }, async (keyFor) => {
    const adjusted = await catalog.adjustStock(product.id, delta, keyFor([product.id, product.stock, delta]));
    const place = button.parentElement;
    changed(adjusted);
    /** @type {HTMLElement | null | undefined} */ (place?.querySelector(`[aria-label="${CSS.escape(label)}"]`))?.focus();
  }, icon(name));
  return button;
}

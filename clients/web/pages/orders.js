// The orders of the reader, newest first.

import { orders } from "../api/lockstep.js";
import { h } from "../ui/dom.js";
import { counted, date, grouped, money } from "../ui/format.js";
import { KeysetList } from "../ui/keyset-list.js";
import { empty } from "../ui/loading.js";
import { orderTag } from "../ui/states.js";
import { filterChips } from "../ui/tabs.js";
import { thumbnail } from "../ui/thumbnails.js";
import { perhaps } from "./perhaps.js";

/** @import { Order } from "../api/types.js" */
/** @import { Visit } from "../app/router.js" */

const PICTURES = 3;
const OPEN = ["ORDER_STATE_PENDING", "ORDER_STATE_PAID", "ORDER_STATE_CANCELLING"];
const SHIPPED = ["ORDER_STATE_FULFILLED"];
const CANCELLED = ["ORDER_STATE_CANCELLED"];
/** @type {Record<string, { label: string, states: string[] }>} */
const SHOWN = {
  "": { label: "All", states: [...OPEN, ...SHIPPED, ...CANCELLED] },
  open: { label: "Open", states: OPEN },
  shipped: { label: "Shipped", states: SHIPPED },
  cancelled: { label: "Cancelled", states: CANCELLED },
  failed: { label: "Failed payments", states: ["ORDER_STATE_FAILED"] },
};

/** @param {Visit} visit */
export function page(visit) {
  const list = orderList(visit, "#/orders", {}, () => (shownOf(visit) ? empty("orders", "None of these", "There is no such order.")
    : h("div", {}, empty("orders", "No orders yet", "What you buy is kept here.",
      h("a", { class: "button primary", href: "#/products" }, "See the products")), perhaps(visit.signal))));
  return { title: "Orders", content: [h("div", { class: "page" }, h("h1", {}, "Orders"), orderTabs(visit, "Orders", "#/orders"), list)] };
}

/** @param {Visit} visit */
const shownOf = ({ query }) => query.get("show") ?? "";

/** @param {Visit} visit @param {string} label @param {string} base the address of the list */
export function orderTabs(visit, label, base) {
  return filterChips(label, base, "show", shownOf(visit), Object.entries(SHOWN).map(([key, each]) => [key, each.label]));
}

/**
 * The orders in the states that the tabs have chosen.
 *
 * @param {Visit} visit
 * @param {string} base the address of the list
 * @param {import("../api/http.js").Query} filters whose they are, and the like
 * @param {() => HTMLElement} none what stands for them where there are none
 * @param {{ columns: import("../ui/table.js").Column[], show: (order: Order) => HTMLElement }} [asTable]
 */
export function orderList(visit, base, filters, none, asTable) {
  const states = SHOWN[shownOf(visit)]?.states ?? [];
  return new KeysetList({
    noun: "orders", signal: visit.signal, place: visit.place,
    ...(asTable ? { ...asTable, bone: "bone-cell" } : { kind: "rows", show: (/** @type {Order} */ order) => orderRow(order, base) }),
    async fetch(pageToken) {
      const found = await orders.list({ ...filters, states, pageToken });
      return { items: found.orders, next: found.nextPageToken };
    },
    empty: none,
  });
}

/** @param {Order} order @param {string} base the address of the list */
function orderRow(order, base) {
  const names = order.items.map((item) => item.name).join(", ");
  return h("article", { class: "row" },
    h("div", { class: "thumbnails" }, ...order.items.slice(0, PICTURES).map(thumbnail)),
    h("div", { class: "row-main" },
      h("h2", {}, h("a", { href: `${base}/${order.id}` }, grouped(order.number) || "Order")),
      h("p", { class: "muted" }, `${date(order.createTime)} · ${counted(order.items.length, "product")}`),
      h("p", { class: "muted clip" }, names)),
    orderTag(order), h("p", { class: "amount" }, money(order.total)));
}

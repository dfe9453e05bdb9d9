// The orders of the reader, newest first.

import { orders } from "../api/lockstep.js";
import { h } from "../ui/dom.js";
import { counted, moment, money } from "../ui/format.js";
import { KeysetList } from "../ui/keyset-list.js";
import { empty } from "../ui/loading.js";
import { orderTag } from "../ui/states.js";

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal }) {
  const list = new KeysetList({
    noun: "orders", kind: "rows", signal,
    async fetch(pageToken) {
      const found = await orders.list(pageToken);
      return { items: found.orders, next: found.nextPageToken };
    },
    show: row,
    empty: () => empty("orders", "No orders yet", "What you buy is kept here.",
      h("a", { class: "button primary", href: "#/products" }, "See the products")),
  });
  return { title: "Orders", content: [h("div", { class: "page" }, h("h1", {}, "Orders"), list)] };
}

/** @param {import("../api/types.js").Order} order */
function row(order) {
  const names = order.items.map((item) => item.name).join(", ");
  return h("article", { class: "row" },
    h("div", { class: "row-main" },
      h("h2", {}, h("a", { href: `#/orders/${order.id}` }, moment(order.createTime))),
      h("p", { class: "muted clip" }, `${counted(order.items.length, "product")}: ${names}`)),
    orderTag(order.state), h("p", { class: "amount" }, money(order.total)));
}

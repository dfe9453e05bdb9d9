// The orders of all users, for administrators.

import { orders } from "../api/lockstep.js";
import { h } from "../ui/dom.js";
import { KeysetList } from "../ui/keyset-list.js";
import { empty } from "../ui/loading.js";
import { tabs } from "../ui/tabs.js";
import { adminTabs } from "./admin-tabs.js";
import { orderRow, SHOWN } from "./orders.js";

/** @param {import("../app/router.js").Visit} visit */
export function page({ query, signal, place }) {
  const shown = query.get("show") ?? "";
  const userId = query.get("user") ?? "-";
  const productId = query.get("product") ?? "";
  const list = new KeysetList({
    noun: "orders", kind: "rows", signal, place,
    async fetch(pageToken) {
      const states = SHOWN[shown]?.states ?? [];
      const found = await orders.list({ userId, productId, states, pageToken });
      return { items: found.orders, next: found.nextPageToken };
    },
    show: (order) => orderRow(order, "#/admin/orders/"),
    empty: () => empty("orders", "No orders", "There is no such order."),
  });
  const narrowed = userId !== "-" || productId;
  return { title: "Orders of all", content: [h("div", { class: "page" }, h("h1", {}, "Orders of all"), adminTabs("orders"),
    narrowed && h("p", {}, `Only those of one ${productId ? "product" : "user"}. `, h("a", { href: "#/admin/orders" }, "Show all")),
    !narrowed && tabs("State", "#/admin/orders", "show", shown, Object.entries(SHOWN).map(([key, { label }]) => [key, label])), list)] };
}

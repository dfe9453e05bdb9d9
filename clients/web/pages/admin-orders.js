// The orders of all users, for administrators.

import { h } from "../ui/dom.js";
import { empty } from "../ui/loading.js";
import { adminTabs } from "./admin-tabs.js";
import { orderList, orderTabs } from "./orders.js";

const ALL = "#/admin/orders";

/** @param {import("../app/router.js").Visit} visit */
export function page(visit) {
  const userId = visit.query.get("user") ?? "-";
  const productId = visit.query.get("product") ?? "";
  const narrowed = userId !== "-" || productId;
  return { title: "Orders of all", content: [h("div", { class: "page" }, h("h1", {}, "Orders of all"), adminTabs("orders"),
    narrowed ? h("p", {}, `These are only the orders of one ${productId ? "product" : "user"}. `, h("a", { href: ALL }, "Show all"))
      : orderTabs(visit, "State", ALL),
    orderList(visit, ALL, { userId, productId }, () => empty("orders", "No orders", "There is no such order.")))] };
}

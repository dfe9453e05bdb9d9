// The orders of all users, for administrators.

import { h } from "../ui/dom.js";
import { counted, grouped, moment, money } from "../ui/format.js";
import { empty } from "../ui/loading.js";
import { orderTag } from "../ui/states.js";
import { tableRow } from "../ui/table.js";
import { adminTabs } from "./admin-tabs.js";
import { orderList, orderTabs } from "./orders.js";

/** @import { Order } from "../api/types.js" */

const ALL = "#/admin/orders";
const COLUMNS = [{ title: "Order" }, { title: "Placed" }, { title: "Products", kind: "main" }, { title: "State" }, { title: "Total", kind: "end amount" }];

/** @param {import("../app/router.js").Visit} visit */
export function page(visit) {
  const userId = visit.query.get("user") ?? "-";
  const productId = visit.query.get("product") ?? "";
  const narrowed = userId !== "-" || productId;
  return { title: "Orders of all", content: [h("div", { class: "page" }, h("h1", {}, "Orders of all"), adminTabs("orders"),
    narrowed ? h("p", {}, `These are only the orders of one ${productId ? "product" : "user"}. `, h("a", { href: ALL }, "Show all"))
      : orderTabs(visit, "State", ALL),
    orderList(visit, ALL, { userId, productId }, () => empty("orders", "No orders", "There is no such order."), { columns: COLUMNS, show: orderRow }))] };
}

/** @param {Order} order */
function orderRow(order) {
  const pieces = order.items.reduce((sum, { quantity }) => sum + quantity, 0);
  return tableRow(COLUMNS,
    h("a", { class: "row-link amount", href: `${ALL}/${order.id}` }, grouped(order.number) || "Order"), moment(order.createTime),
    h("div", { class: "names" }, h("span", {}, order.items.map(({ name }) => name).join(", ")), h("span", { class: "muted" }, counted(pieces, "piece"))),
    orderTag(order), money(order.total));
}

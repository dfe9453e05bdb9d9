// The lines of an order, each with its own state and what can still be done with it.

import { session } from "../api/session.js";
import { h } from "../ui/dom.js";
import { counted, money } from "../ui/format.js";
import { thumbnail } from "../ui/thumbnails.js";
import { leftOf, lineActions, shipForm } from "./order-actions.js";

/** @import { Order, OrderItem } from "../api/types.js" */
/** @import { Changed, Line } from "./order-actions.js" */
/** @import { Child } from "../ui/dom.js" */

const LIVING = new Set(["ORDER_STATE_PAID", "ORDER_STATE_FULFILLED"]);

/** @param {Order} order @param {Changed} changed */
export function orderLines(order, changed) {
  const isAdmin = session.isAdmin;
  return h("div", {},
    h("ul", { class: "lines", "aria-label": "Products" }, ...order.items.map((item) => line(order, item, changed))),
    isAdmin && order.state === "ORDER_STATE_PAID" && shipForm(order, changed));
}

/** @param {Order} order @param {OrderItem} item @param {Changed} changed */
function line(order, item, changed) {
  const isMine = order.userId === session.current?.userId;
  return lineView(item, order.state, {
    name: h("a", { class: "line-name", href: `#/products/${item.productId}` }, item.name),
    actions: lineActions(order, item, changed, {
      mayCancel: order.state === "ORDER_STATE_PAID" && (isMine || session.isAdmin),
      mayRefund: session.isAdmin,
    }),
    total: h("p", { class: "line-total amount" }, money(item.lineTotal)),
  });
}

/**
 * A line as its buyer and its seller see it.
 *
 * @param {Line} item
 * @param {string} state of its order
 * @param {{ name: Node, actions: Child[], total: Node }} parts
 */
export function lineView(item, state, { name, actions, total }) {
  return h("li", { class: "line order-line" }, thumbnail(item),
    h("div", { class: "line-text" }, name,
      h("p", { class: "muted" }, `${counted(item.quantity, "piece")} at ${money(item.unitPrice)}`),
      h("p", { class: "line-state" }, ...lineTags(item, state))),
    h("div", { class: "line-count no-print" }, ...actions), total);
}

/** @param {Line} item @param {string} state of its order */
function lineTags(item, state) {
  /** @param {string} text @param {string} tone */
  const tag = (text, tone) => h("span", { class: `tag tag-${tone}` }, text);
  return [
    item.fulfilled && tag("Shipped", "ok"),
    !item.fulfilled && leftOf(item) > 0 && LIVING.has(state) && tag("Not shipped yet", "info"),
    item.cancelledQuantity > 0 && tag(part("cancelled", item.cancelledQuantity, item.quantity), "plain"),
    item.returnedQuantity > 0 && tag(part("returned", item.returnedQuantity, item.quantity), "plain"),
  ];
}

/** @param {string} what @param {number} count @param {number} all */
function part(what, count, all) {
  return count === all ? `${what[0]?.toUpperCase()}${what.slice(1)}` : `${count} of ${all} ${what}`;
}

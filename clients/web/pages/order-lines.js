// The lines of an order, each with its own state and what can still be done with it.

import { session } from "../api/session.js";
import { h } from "../ui/dom.js";
import { counted, money } from "../ui/format.js";
import { thumbnail } from "../ui/thumbnails.js";
import { cancelLine, refundLine, shipForm } from "./order-actions.js";

/** @import { Order, OrderItem } from "../api/types.js" */
/** @typedef {(order: Order) => void} Changed */

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
  const left = item.quantity - item.cancelledQuantity;
  const isMine = order.userId === session.current?.userId;
  const canCancel = order.state === "ORDER_STATE_PAID" && !item.fulfilled && left > 0 && (isMine || session.isAdmin);
  const canReturn = item.fulfilled && left > item.returnedQuantity && session.isAdmin;
  return h("li", { class: "line order-line" }, thumbnail(item),
    h("div", { class: "line-text" },
      h("a", { class: "line-name", href: `#/products/${item.productId}` }, item.name),
      h("p", { class: "muted" }, `${counted(item.quantity, "piece")} at ${money(item.unitPrice)}`),
      h("p", { class: "line-state" }, ...lineTags(order, item))),
    h("div", { class: "line-count no-print" },
      canCancel && cancelLine(order, item, changed), canReturn && refundLine(order, item, changed)),
    h("p", { class: "line-total amount" }, money(item.lineTotal)));
}

/** @param {{ state: string }} order @param {Pick<OrderItem, "quantity" | "cancelledQuantity" | "returnedQuantity" | "fulfilled">} item */
export function lineTags({ state }, item) {
  const left = item.quantity - item.cancelledQuantity;
  /** @param {string} text @param {string} tone */
  const tag = (text, tone) => h("span", { class: `tag tag-${tone}` }, text);
  return [
    item.fulfilled && tag("Shipped", "ok"),
    !item.fulfilled && left > 0 && LIVING.has(state) && tag("Not shipped yet", "info"),
    item.cancelledQuantity > 0 && tag(part("cancelled", item.cancelledQuantity, item.quantity), "plain"),
    item.returnedQuantity > 0 && tag(part("returned", item.returnedQuantity, item.quantity), "plain"),
  ];
}

/** @param {string} what @param {number} count @param {number} all */
function part(what, count, all) {
  return count === all ? `${what[0]?.toUpperCase()}${what.slice(1)}` : `${count} of ${all} ${what}`;
}

// What has happened with an order, step by step, and what comes next.

import { h, uniqueId } from "../ui/dom.js";
import { moment, money } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { leftOf } from "./order-actions.js";

/** @import { Order, Refund, Shipment } from "../api/types.js" */
/** @typedef {{ sign: import("../ui/icons.js").IconName, what: string, time?: string, more?: string[], kind?: "done" | "next" | "problem", isPrinted?: boolean }} Step */

/** @param {Order} order */
export function timeline(order) {
  const names = new Map(order.items.map((item) => [item.productId, item.name]));
  /** @param {string} id */
  const nameOf = (id) => names.get(id) ?? "A product";
  const events = [
    ...order.shipments.map((each, index) => shipped(each, order.shipments.length > 1 ? ` ${index + 1}` : "", nameOf)),
    ...order.refunds.map((each) => refunded(each, nameOf)),
  ].sort((one, other) => Date.parse(one.time ?? "") - Date.parse(other.time ?? ""));
  const id = uniqueId("progress");
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, "Progress"),
    h("ol", { class: "timeline" }, ...[placed(order), paid(order), ...events, ...toShip(order)].map(stepView)));
}

/** @param {Step} step */
function stepView({ sign, what, time, more = [], kind = "done", isPrinted = true }) {
  return h("li", { class: `step step-${kind} ${isPrinted ? "" : "no-print"}`.trim() }, h("span", { class: "step-sign" }, icon(sign)), h("div", { class: "step-text" },
    h("p", { class: "step-head" }, h("strong", {}, what), time && h("time", { class: "muted", datetime: time }, moment(time))),
    ...more.filter(Boolean).map((each) => h("p", { class: "muted" }, each))));
}

/** @param {Order} order @returns {Step} */
const placed = ({ createTime }) => ({ sign: "orders", what: "Order placed", time: createTime });

/** An order of 0.2 has no time of its payment. @param {Order} order @returns {Step} */
function paid({ state, total, payTime }) {
  const more = [`${money(total)} from the wallet`];
  if (state === "ORDER_STATE_PENDING") return { sign: "wallet", what: "Being paid", more, kind: "next" };
  if (state === "ORDER_STATE_FAILED") return { sign: "alert", what: "Not paid", kind: "problem" };
  return { sign: "wallet", what: "Payment received", time: payTime, more };
}

/** @param {Shipment} shipment @param {string} count which parcel it is, where there are several @param {(id: string) => string} nameOf @returns {Step} */
function shipped({ items, tracking, createTime }, count, nameOf) {
  return { sign: "truck", what: `Parcel${count} shipped`, time: createTime,
    more: [pieces(items, nameOf), tracking && `Tracking: ${tracking}`] };
}

/** @param {Refund} refund @param {(id: string) => string} nameOf @returns {Step} */
function refunded({ kind, items, amount, state, reason, createTime }, nameOf) {
  const isBack = state === "REFUND_STATE_DONE";
  const what = kind === "REFUND_KIND_RETURN" ? "Returned" : "Cancelled";
  return { sign: "undo", what, time: createTime, kind: isBack ? "done" : "next",
    more: [pieces(items, nameOf), reason === what ? "" : reason,
      `${money(amount)} ${isBack ? "went back to the wallet" : "is on its way back to the wallet"}`] };
}

/** @param {import("../api/types.js").Picked[]} items @param {(id: string) => string} nameOf */
const pieces = (items, nameOf) => items.map(({ productId, quantity }) => `${quantity} × ${nameOf(productId)}`).join(", ");

/** @param {Order} order @returns {Step[]} what is still to come, which is no part of a receipt */
function toShip({ state, items }) {
  const waiting = items.filter((item) => !item.fulfilled && leftOf(item) > 0);
  if (state !== "ORDER_STATE_PAID" || waiting.length === 0) return [];
  return [{ sign: "truck", what: "Waiting to be shipped", kind: "next", isPrinted: false,
    more: [waiting.map((item) => `${leftOf(item)} × ${item.name}`).join(", "), "Each seller ships their own part. You see the parcel here as soon as it is on its way."] }];
}

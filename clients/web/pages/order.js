// One order: its lines, what happens with it, and taking it back. Administrators also ship and
// refund here.

import { orders } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { fill, h } from "../ui/dom.js";
import { grouped, isZero, moment, money } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { bones, Kept, loaded } from "../ui/loading.js";
import { failureText, orderTag, whatNext } from "../ui/states.js";
import { cancelButton } from "./order-actions.js";
import { orderLines } from "./order-lines.js";
import { timeline } from "./order-timeline.js";

/** @typedef {import("../api/types.js").Order} Order */
/** @typedef {(order: Order) => void} Changed */

const POLL_MS = 1500;
const MOVING = new Set(["ORDER_STATE_PENDING", "ORDER_STATE_CANCELLING"]);

/** @param {import("../app/router.js").Visit} visit */
export function page({ params, query, signal, place }) {
  const id = params["id"] ?? "";
  const heading = h("h1", {}, "Order");
  /** @type {Kept<Order>} */
  const kept = new Kept(place);
  const content = loaded({
    signal, kept,
    fetch: () => orders.get(id),
    show: (order) => {
      heading.textContent = `Order ${grouped(order.number)}`;
      document.title = `${heading.textContent} · Lockstep`;
      return [orderView(order, query.has("new"), signal)];
    },
    skeleton: bones(1, "bone-product"),
  });
  const isAdmin = location.hash.startsWith("#/admin/");
  const back = h("a", { class: "back", href: isAdmin ? "#/admin/orders" : "#/orders" }, icon("back"), "All orders");
  return { title: heading.textContent ?? "Order", content: [h("div", { class: "page receipt" }, back, heading, content)] };
}

/** @param {Order} first @param {boolean} isNew @param {AbortSignal} signal */
function orderView(first, isNew, signal) {
  const view = h("div");
  /** @param {Order} order */
  const show = (order) => {
    fill(view, isNew && thanks(order), h("div", { class: "with-summary" },
      h("div", { class: "column" }, timeline(order), orderLines(order, show)), summary(order, show)));
    if (MOVING.has(order.state)) void follow(order, show, signal);
  };
  show(first);
  return view;
}

/** @param {Order} order @param {Changed} show @param {AbortSignal} signal */
async function follow(order, show, signal) {
  await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
  if (signal.aborted) return;
  const next = await orders.get(order.id).catch(() => order); // asked again in a moment
  if (!signal.aborted) show(next);
}

/** @param {Order} order */
function thanks(order) {
  if (order.state === "ORDER_STATE_FAILED") return false;
  return h("section", { class: "thanks", "aria-label": "Thank you" }, icon("check"), h("div", {},
    h("h2", {}, "Thank you! Your order is placed."),
    h("p", {}, `Its number is ${grouped(order.number)}. You find it under Orders at any time.`)));
}

/** @param {Order} order @param {Changed} changed */
function summary(order, changed) {
  const isRefunded = !isZero(order.refunded);
  return h("aside", { class: "card summary", "aria-label": "Summary" },
    h("p", { role: "status" }, orderTag(order)),
    order.failureReason ? h("p", { class: "line-problem" }, icon("alert"), failureText(order.failureReason))
      : h("p", { class: "muted no-print" }, whatNext(order.state)),
    h("dl", { class: "sums" },
      h("div", {}, h("dt", {}, "Placed"), h("dd", {}, moment(order.createTime))),
      h("div", {}, h("dt", {}, "Paid from"), h("dd", {}, order.userId === session.current?.userId
        ? h("a", { href: "#/wallet" }, "Your wallet") : "The wallet")),
      h("div", { class: "sum" }, h("dt", {}, "Total"), h("dd", { class: "amount" }, money(order.total))),
      isRefunded && h("div", {}, h("dt", {}, "Refunded"), h("dd", { class: "amount" }, money(order.refunded)))),
    order.shippingAddress && h("div", { class: "address" }, h("h3", {}, "Delivery to"), h("p", {}, order.shippingAddress)),
    h("div", { class: "stack no-print" },
      h("button", { type: "button", class: "button plain wide", onclick: () => print() }, "Print the receipt"),
      cancelButton(order, changed)));
}

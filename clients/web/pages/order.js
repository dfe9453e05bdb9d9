// One order, and taking it back.

import { orders } from "../api/lockstep.js";
import { fill, h } from "../ui/dom.js";
import { ActionForm } from "../ui/form.js";
import { moment, money } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { bones, loaded } from "../ui/loading.js";
import { toast } from "../ui/messages.js";
import { failureText, orderTag } from "../ui/states.js";
import { items } from "./checkout.js";

/** @typedef {import("../api/types.js").Order} Order */

const POLL_MS = 1500;
const MOVING = new Set(["ORDER_STATE_PENDING", "ORDER_STATE_CANCELLING"]);

/** @param {import("../app/router.js").Visit} visit */
export function page({ params, signal }) {
  const id = params["id"] ?? "";
  const content = loaded({
    signal,
    fetch: () => orders.get(id),
    show: (order) => [orderView(order, signal)],
    skeleton: bones(1, "bone-product"),
  });
  const back = h("a", { class: "back", href: "#/orders" }, icon("back"), "All orders");
  return { title: "Order", content: [h("div", { class: "page" }, back, h("h1", {}, "Order"), content)] };
}

/** @param {Order} first @param {AbortSignal} signal */
function orderView(first, signal) {
  const view = h("div");
  /** @param {Order} order */
  const show = (order) => {
    fill(view, h("div", { class: "with-summary" }, items(order), summary(order, show)));
    if (MOVING.has(order.state)) void follow(order, show, signal);
  };
  show(first);
  return view;
}

/** @param {Order} order @param {(order: Order) => void} show @param {AbortSignal} signal */
async function follow(order, show, signal) {
  await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
  if (signal.aborted) return;
  const next = await orders.get(order.id).catch(() => order); // asked again in a moment
  if (!signal.aborted) show(next);
}

/** @param {Order} order @param {(order: Order) => void} changed */
function summary(order, changed) {
  return h("aside", { class: "card summary", "aria-label": "Summary" },
    h("p", { role: "status" }, orderTag(order.state)),
    order.failureReason && h("p", { class: "line-problem" }, icon("alert"), failureText(order.failureReason)),
    h("dl", { class: "sums" },
      h("div", {}, h("dt", {}, "Placed"), h("dd", {}, moment(order.createTime))),
      h("div", {}, h("dt", {}, "Number"), h("dd", { class: "code-text" }, order.id)),
      h("div", { class: "sum" }, h("dt", {}, "Total"), h("dd", { class: "amount" }, money(order.total)))),
    order.state === "ORDER_STATE_PAID" && cancellation(order, changed));
}

/** @param {Order} order @param {(order: Order) => void} changed */
function cancellation(order, changed) {
  return new ActionForm({
    parts: [h("p", { class: "muted" }, "The money goes back to your wallet.")],
    submit: "Cancel the order",
    tone: "plain",
    async action(_, keyFor) {
      const cancelled = await orders.cancel(order.id, keyFor(order.id));
      toast("The order is cancelled.");
      changed(cancelled);
    },
  });
}

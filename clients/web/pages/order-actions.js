// What can be done with an order: cancel, ship, refund. Each asks once, and names the sum.

import { orders } from "../api/lockstep.js";
import { ask, keepButton } from "../ui/dialog.js";
import { h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm } from "../ui/form.js";
import { difference, grouped, money, multiplied } from "../ui/format.js";
import { QuantityStepper } from "../ui/quantity-stepper.js";
import { atMost } from "../ui/rules.js";
import { toast } from "../ui/words.js";

/** @import { Order, OrderItem } from "../api/types.js" */
/** @typedef {(order: Order) => void} Changed */
/** @typedef {{ id: string, number: string }} Named */
/** @typedef {Pick<OrderItem, "productId" | "name" | "quantity" | "cancelledQuantity" | "returnedQuantity" | "fulfilled" | "unitPrice">} Line */

/** Cancel all that is left, as long as nothing is shipped. @param {Order} order @param {Changed} changed */
export function cancelButton(order, changed) {
  const isWhole = order.state === "ORDER_STATE_PAID" && order.shipments.length === 0;
  return isWhole && h("button", { type: "button", class: "button plain wide", onclick: () => void ask(
    "Cancel the order?", (close) => [new ActionForm({
      parts: [h("p", {}, "Everything that is left of it is cancelled. ", h("strong", { class: "amount" }, money(difference(order.total, order.refunded))),
        " goes back to the wallet at once.")],
      submit: "Cancel the order", tone: "danger", beside: [keepButton(close)],
      async action(_, keyFor) {
        const cancelled = await orders.cancel(order.id, [], keyFor(order.id));
        close();
        toast("The order is cancelled.");
        changed(cancelled);
      },
    })]) }, "Cancel the order");
}

/** How many are not cancelled. @param {Pick<OrderItem, "quantity" | "cancelledQuantity">} item */
export const leftOf = ({ quantity, cancelledQuantity }) => quantity - cancelledQuantity;

/**
 * A line can be cancelled until it is shipped, and refunded from then on.
 *
 * @param {Named} order
 * @param {Line} item
 * @param {Changed} changed
 * @param {{ mayCancel?: boolean, mayRefund?: boolean }} [rights]
 */
export function lineActions(order, item, changed, { mayCancel = true, mayRefund = true } = {}) {
  const left = leftOf(item);
  return [
    mayCancel && !item.fulfilled && left > 0 && cancelLine(order, item, changed),
    mayRefund && item.fulfilled && left > item.returnedQuantity && refundLine(order, item, changed),
  ];
}

/** @param {Named} order @param {Line} item @param {Changed} changed */
function cancelLine(order, item, changed) {
  return some(item, leftOf(item), {
    verb: "Cancel", title: `Cancel ${item.name}?`, text: "Its price goes back to the wallet at once.",
    async send(quantity, _, key) {
      changed(await orders.cancel(order.id, [{ productId: item.productId, quantity }], key));
      toast(`${quantity} × ${item.name} cancelled.`);
    },
  });
}

/** @param {Named} order @param {Line} item @param {Changed} changed */
function refundLine(order, item, changed) {
  const reason = new FormField({ name: "reason", label: "Reason", required: true, rules: [atMost(200)],
    hint: "The buyer reads it", value: "Returned" });
  const restock = h("input", { type: "checkbox", name: "restock", checked: true });
  return some(item, leftOf(item) - item.returnedQuantity, {
    verb: "Refund a return", title: `Refund ${item.name}?`,
    text: "Do this when it has come back. The money goes to the buyer's wallet.",
    parts: [reason, h("label", { class: "check" }, restock, "It can be sold again")],
    words: { INSUFFICIENT_FUNDS: "The seller's wallet does not hold enough for this refund. Add money to it first." },
    async send(quantity, values, key) {
      const items = [{ productId: item.productId, quantity }];
      changed(await orders.refund(order.id, { items, reason: values["reason"], restock: restock.checked }, key));
      toast(`${quantity} × ${item.name} refunded.`);
    },
  });
}

/**
 * A button that asks how many, and says what that comes to.
 *
 * @param {Line} item
 * @param {number} most
 * @param {object} how
 * @param {string} how.verb
 * @param {string} how.title
 * @param {string} how.text
 * @param {HTMLElement[]} [how.parts]
 * @param {Record<string, string>} [how.words]
 * @param {(quantity: number, values: Record<string, string>, key: string) => Promise<void>} how.send
 */
function some(item, most, { verb, title, text, parts = [], words = {}, send }) {
  const open = () => void ask(title, (close) => {
    const stepper = new QuantityStepper({ label: `Quantity of ${item.name}`, value: most, least: 1, most });
    const sum = h("strong", { class: "amount" });
    const update = () => { sum.textContent = money(multiplied(item.unitPrice, stepper.value)); };
    stepper.addEventListener("chosen", update);
    update();
    return [h("p", {}, text), new ActionForm({
      parts: [h("div", { class: "how-many" }, most > 1 ? stepper : h("span", {}, "1 piece"), h("p", {}, "Back: ", sum)), ...parts],
      submit: verb, tone: "danger", words, beside: [keepButton(close)],
      async action(values, keyFor) {
        await send(stepper.value, values, keyFor([stepper.value, values]));
        close();
      },
    })];
  });
  return h("button", { type: "button", class: "button plain small", onclick: open }, verb,
    h("span", { class: "unseen" }, ` ${item.name}`));
}

/** @param {Named} order @param {Changed} changed @param {string[]} [productIds] none: all that may be shipped */
export function shipForm(order, changed, productIds = []) {
  return h("section", { class: "card ship", "aria-label": `Ship order ${grouped(order.number)}` }, new ActionForm({
    parts: [new FormField({ name: "tracking", label: "Tracking number", rules: [atMost(200)], hint: "The buyer sees it" })],
    submit: "Mark as shipped",
    async action(values, keyFor) {
      const body = { productIds, ...values };
      changed(await orders.fulfil(order.id, body, keyFor(body)));
      toast(`Order ${grouped(order.number)} is marked as shipped.`);
    },
  }));
}

// The states of orders and transfers, in words.

import { h } from "./dom.js";

/** @type {Record<string, [text: string, tone: string]>} */
const ORDERS = {
  ORDER_STATE_PENDING: ["Being paid", "info"],
  ORDER_STATE_PAID: ["Paid", "ok"],
  ORDER_STATE_FAILED: ["Not paid", "problem"],
  ORDER_STATE_CANCELLING: ["Being refunded", "info"],
  ORDER_STATE_CANCELLED: ["Refunded", "plain"],
  ORDER_STATE_FULFILLED: ["Shipped", "ok"],
};

/** @type {Record<string, string>} */
const FAILURES = {
  INSUFFICIENT_FUNDS: "The wallet did not hold enough. Nothing was charged.",
  PROFILE_UNAVAILABLE: "The payment was not possible at the time. Nothing was charged.",
};

/** @type {Record<string, [text: string, isCredit: boolean]>} */
const TRANSFERS = {
  TRANSFER_KIND_TOP_UP: ["Money put in", true],
  TRANSFER_KIND_DEBIT: ["Purchase", false],
  TRANSFER_KIND_REFUND: ["Refund", true],
  TRANSFER_KIND_VOID: ["Purchase taken back", true],
  TRANSFER_KIND_FORFEIT: ["Account closed", false],
  TRANSFER_KIND_RELEASE: ["Sale", true],
  TRANSFER_KIND_SALE_REFUND: ["Sale refunded", false],
  TRANSFER_KIND_REVERSAL: ["Top-up taken back", false],
};

/** @param {string} state */
export function orderTag(state) {
  const [text, tone] = ORDERS[state] ?? [state, "plain"];
  return h("span", { class: `tag tag-${tone}` }, text);
}

/** @param {string} reason */
export const failureText = (reason) => FAILURES[reason] ?? "The order failed. Nothing was charged.";

/** @param {string} kind */
export function transferKind(kind) {
  const [text, isCredit] = TRANSFERS[kind] ?? [kind, true];
  return { text, isCredit };
}

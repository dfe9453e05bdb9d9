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

/** @type {Record<string, string>} what the buyer may expect next */
const NEXT = {
  ORDER_STATE_PENDING: "The payment is on its way. This page follows it.",
  ORDER_STATE_PAID: "Its sellers have been told. You can cancel what is not shipped yet.",
  ORDER_STATE_CANCELLING: "The money is on its way back to the wallet.",
  ORDER_STATE_CANCELLED: "The money is back in the wallet.",
  ORDER_STATE_FULFILLED: "Everything is on its way. To return something, send it back to its seller, who refunds it.",
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

/** @param {{ state: string, shipments: unknown[] }} order */
export function orderTag({ state, shipments }) {
  const isPart = state === "ORDER_STATE_PAID" && shipments.length > 0;
  const [text, tone] = isPart ? ["Partly shipped", "ok"] : ORDERS[state] ?? ["In work", "plain"];
  return h("span", { class: `tag tag-${tone}` }, text);
}

/** @param {string} state */
export const whatNext = (state) => NEXT[state] ?? "";

/** @param {string} reason */
export const failureText = (reason) => FAILURES[reason] ?? "The order failed. Nothing was charged.";

/** @param {string} kind */
export function transferKind(kind) {
  const [text, isCredit] = TRANSFERS[kind] ?? ["Movement", true];
  return { text, isCredit };
}

/** @type {Record<string, string>} */
const ROLES = { customer: "Customer", creator: "Creator", brand: "Brand", student: "Student", admin: "Administrator" };

/** @type {Record<string, [text: string, tone: string]>} */
const ACCOUNTS = { active: ["Active", "ok"], disabled: ["Disabled", "problem"], deleting: ["Being deleted", "problem"] };

/** @param {string} status of an account */
export function accountTag(status) {
  const [text, tone] = ACCOUNTS[status] ?? ["Other", "plain"];
  return h("span", { class: `tag tag-${tone}` }, text);
}

/** @param {string} role */
export const roleName = (role) => ROLES[role] ?? "Other";

// The wallet: what it holds, what is on its way, and what has moved.

import { wallets } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { h } from "../ui/dom.js";
import { isZero, moment, money, signedMoney } from "../ui/format.js";
import { KeysetList } from "../ui/keyset-list.js";
import { bones, empty, loaded } from "../ui/loading.js";
import { transferKind } from "../ui/states.js";
import { sellTabs } from "./sell-tabs.js";

/** @import { Transfer, Wallet } from "../api/types.js" */
/** @import { Child } from "../ui/dom.js" */

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const OF_ORDERS = new Set(["TRANSFER_KIND_DEBIT", "TRANSFER_KIND_REFUND", "TRANSFER_KIND_VOID"]);

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal, place }) {
  const balance = loaded({
    signal,
    fetch: () => wallets.mine(),
    show: (wallet) => [figures(wallet, session.current?.role === "brand")],
    skeleton: bones(1, "bone-balance"),
  });
  return {
    title: "Wallet",
    content: [h("div", { class: "page medium" }, h("h1", {}, "Wallet"),
      session.current?.role === "brand" && sellTabs("/wallet"),
      h("section", { class: "card balance-card", "aria-label": "Balance" }, balance),
      h("h2", {}, "Transfers"), transferList("me", signal, { place }))],
  };
}

/** @param {Wallet} wallet @param {boolean} isSeller whether to tell of nothing that is pending, too */
export function figures(wallet, isSeller) {
  return h("div", { class: "figures" },
    h("div", {}, h("p", { class: "muted" }, "Available"), h("p", { class: "balance amount" }, money(wallet.balance))),
    (isSeller || !isZero(wallet.pending)) && h("div", {}, h("p", { class: "muted" }, "Pending"),
      h("p", { class: "balance amount pending" }, money(wallet.pending)),
      h("p", { class: "muted" }, "Shares of sales, until they are shipped")));
}

/**
 * @param {string} userId or `me`
 * @param {AbortSignal} signal
 * @param {{ place?: Map<string, unknown>, actions?: (transfer: Transfer) => Node | false }} [how]
 */
export function transferList(userId, signal, { place, actions } = {}) {
  const list = new KeysetList({
    noun: "transfers", kind: "rows ledger", signal, ...(place && { place }),
    async fetch(pageToken) {
      const found = await wallets.transfers(pageToken, userId);
      return { items: found.transfers.filter(hasMoved), next: found.nextPageToken };
    },
    show: (transfer) => row(transfer, userId === "me", actions),
    empty: () => empty("wallet", "Nothing has moved yet", ...whereFrom(userId === "me")),
  });
  // Each number says its column itself to those who do not see where it stands.
  const head = h("div", { class: "statement-head", "aria-hidden": "true" },
    h("span", {}, "Transfer"), h("span", {}, "Amount"), h("span", {}, "Balance"));
  return h("div", { class: "statement" }, head, list);
}

/** How money comes into a wallet that has seen none. @param {boolean} isMine @returns {[string, ...Child[]]} */
function whereFrom(isMine) {
  if (!isMine) return ["What is put in, paid, refunded or earned is listed here."];
  if (session.current?.role !== "brand") return ["Ask the shop to add money; it is here at once."];
  return ["Your share of a sale is pending once it is paid. It is yours, and listed here, as soon as you ship.",
    h("a", { class: "button plain", href: "#/sell/sales" }, "See your sales")];
}

/** Attempts that were refused are no movements. @param {Transfer} transfer */
const hasMoved = ({ state }) => state === "TRANSFER_STATE_POSTED";

/** @param {Transfer} transfer @param {boolean} isMine @param {((transfer: Transfer) => Node | false) | undefined} actions */
function row(transfer, isMine, actions) {
  const { text, isCredit } = transferKind(transfer.kind);
  return h("article", { class: "row" },
    h("div", { class: "row-main" }, h("h3", {}, text),
      h("p", { class: "muted" }, moment(transfer.createTime), about(transfer, isMine))),
    actions?.(transfer),
    h("p", { class: `movement amount ${isCredit ? "credit" : ""}` }, signedMoney(transfer.amount, isCredit)),
    transfer.balanceAfter && h("p", { class: "movement amount muted" },
      h("span", { class: "column" }, "Balance "), money(transfer.balanceAfter)));
}

/** @param {Transfer} transfer @param {boolean} isMine */
function about({ kind, reference }, isMine) {
  if (!reference) return "";
  if (!UUID.test(reference)) return ` · ${reference}`;
  if (!OF_ORDERS.has(kind)) return "";
  return h("span", {}, " · ", h("a", { href: `#${isMine ? "" : "/admin"}/orders/${reference}` }, "The order"));
}

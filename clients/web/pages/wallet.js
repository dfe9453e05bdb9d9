// The wallet: what it holds, and what has moved.

import { wallets } from "../api/lockstep.js";
import { h } from "../ui/dom.js";
import { moment, money, signedMoney } from "../ui/format.js";
import { KeysetList } from "../ui/keyset-list.js";
import { bones, empty, loaded } from "../ui/loading.js";
import { transferKind } from "../ui/states.js";

/** @typedef {import("../api/types.js").Transfer} Transfer */

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal }) {
  const balance = loaded({
    signal,
    fetch: () => wallets.mine(),
    show: (wallet) => [h("p", { class: "balance amount" }, money(wallet.balance))],
    skeleton: bones(1, "bone-balance"),
  });
  const list = new KeysetList({
    noun: "transfers", kind: "rows", signal,
    async fetch(pageToken) {
      const found = await wallets.transfers(pageToken);
      return { items: found.transfers, next: found.nextPageToken };
    },
    show: row,
    empty: () => empty("wallet", "Nothing has moved yet", "An administrator can put money in."),
  });
  return {
    title: "Wallet",
    content: [h("div", { class: "page medium" }, h("h1", {}, "Wallet"),
      h("section", { class: "card balance-card", "aria-label": "Balance" }, h("p", { class: "muted" }, "You can spend"), balance),
      h("h2", {}, "Transfers"), list)],
  };
}

/** @param {Transfer} transfer */
function row(transfer) {
  const { text, isCredit } = transferKind(transfer.kind);
  const hasMoved = transfer.state === "TRANSFER_STATE_POSTED";
  return h("article", { class: "row" },
    h("div", { class: "row-main" }, h("h3", {}, text), h("p", { class: "muted" }, moment(transfer.createTime))),
    !hasMoved && h("span", { class: "tag tag-plain" },
      "Refused"),
    h("p", { class: `amount ${hasMoved && isCredit ? "credit" : ""} ${hasMoved ? "" : "void"}` },
      signedMoney(transfer.amount, isCredit)));
}

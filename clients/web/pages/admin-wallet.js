// The wallet of a user, for administrators: money put in, and a mistake taken back.

import { randomKey } from "../api/http.js";
import { wallets } from "../api/lockstep.js";
import { showAgain } from "../app/router.js";
import { amountExample, loadCurrency } from "../ui/currency.js";
import { ask } from "../ui/dialog.js";
import { h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm } from "../ui/form.js";
import { money, moneyFrom } from "../ui/format.js";
import { bones, loaded } from "../ui/loading.js";
import { atMost, positiveAmount } from "../ui/rules.js";
import { toast } from "../ui/words.js";
import { figures, transferList } from "./wallet.js";

/** @import { Transfer, User } from "../api/types.js" */

/** @param {User} user @param {AbortSignal} signal @returns {HTMLElement | false} none for administrators */
export function walletSection(user, signal) {
  if (user.role === "admin") return false;
  void loadCurrency();
  const balance = loaded({ signal, fetch: () => wallets.of(user.id), skeleton: bones(1, "bone-balance"),
    show: (wallet) => [figures(wallet, user.role === "brand")] });
  return h("section", { class: "card", "aria-label": "Wallet" }, h("h2", {}, "Wallet"), balance,
    h("p", { class: "actions" }, h("button", { class: "button plain", onclick: () => void ask("Put money in", (close) => [
      h("p", { class: "muted" }, `Into the wallet of ${user.email}`), topUp(user, close)]) }, "Put money in")),
    transferList(user.id, signal, { actions: (transfer) => transfer.kind === "TRANSFER_KIND_TOP_UP" && reversal(user, transfer) }));
}

/** @param {User} user @param {() => void} close */
function topUp(user, close) {
  const transferId = randomKey(); // the same one for every try: money moves once
  return new ActionForm({
    parts: [new FormField({ name: "amount", label: "Amount", required: true, rules: [positiveAmount],
      attributes: { inputmode: "decimal", placeholder: amountExample("25") } }),
    new FormField({ name: "reference", label: "Note for the user", rules: [atMost(200)] })],
    submit: "Put in",
    async action({ amount = "", reference = "" }, keyFor) {
      const request = { transferId, amount: moneyFrom(amount), reference };
      const transfer = await wallets.topUp(user.id, request, keyFor(request));
      close();
      toast(`${money(transfer.amount)} is in the wallet of ${user.email}.`);
      showAgain();
    },
  });
}

/** @param {User} user @param {Transfer} transfer */
function reversal(user, transfer) {
  const open = () => void ask("Take the money back?", (close) => {
    const reversalId = randomKey();
    return [h("p", {}, `${money(transfer.amount)} leave the wallet of ${user.email}, or what is left of them.`), new ActionForm({
      parts: [new FormField({ name: "reason", label: "Reason", required: true, rules: [atMost(200)], hint: "The user reads it" })],
      submit: "Take back", tone: "danger",
      words: { ILLEGAL_STATE: "This was taken back already.", INSUFFICIENT_FUNDS: "The user has spent it. The wallet holds less than that." },
      async action({ reason }) {
        const reversed = await wallets.reverse(user.id, transfer.id, { reversalId, reason });
        close();
        toast(`${money(reversed.amount)} is taken back.`);
        showAgain();
      },
    })];
  });
  return h("button", { type: "button", class: "button plain small", onclick: open }, "Take back",
    h("span", { class: "unseen" }, ` ${money(transfer.amount)}`));
}

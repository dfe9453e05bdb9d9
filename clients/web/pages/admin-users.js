// Users, for administrators: letting them in or not, and putting money into wallets.

import { randomKey } from "../api/client.js";
import { users, wallets } from "../api/lockstep.js";
import { ask, confirmed } from "../ui/dialog.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm } from "../ui/form.js";
import { date, money, moneyFrom } from "../ui/format.js";
import { KeysetList } from "../ui/keyset-list.js";
import { empty } from "../ui/loading.js";
import { textOf, toast } from "../ui/messages.js";
import { positiveAmount } from "../ui/rules.js";
import { adminTabs } from "./admin-tabs.js";

/** @typedef {import("../api/types.js").User} User */

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal }) {
  const list = new KeysetList({
    noun: "users", kind: "rows", signal,
    async fetch(pageToken) {
      const found = await users.list(pageToken);
      return { items: found.users, next: found.nextPageToken };
    },
    show: userRow,
    empty: () => empty("account", "No users", "Nobody has registered yet."),
  });
  return {
    title: "Users",
    content: [h("div", { class: "page" }, h("h1", {}, "Users"), adminTabs("users"), list)],
  };
}

/** @param {User} first */
function userRow(first) {
  const row = h("article", { class: "row" });
  /** @param {User} user */
  const show = (user) => fill(row,
    h("div", { class: "row-main" },
      h("h2", {}, h("a", { href: `#/admin/users/${user.id}` }, user.fullName || user.email)),
      h("p", { class: "muted" }, `${user.email} · ${user.role} · since ${date(user.createTime)}`)),
    h("span", { class: `tag tag-${user.disabled ? "problem" : "ok"}` }, user.disabled ? "Disabled" : "Enabled"),
    h("div", { class: "row-actions" }, moneyButton(user), switchButton(user, show)));
  show(first);
  return row;
}

/** @param {User} user @param {(user: User) => void} changed */
function switchButton(user, changed) {
  const label = user.disabled ? "Enable" : "Disable";
  const button = h("button", { class: "button plain small", onclick: async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    const isSure = user.disabled || await confirmed(`Disable ${user.email}?`,
      "All sessions of this account end, and nobody can sign in to it.", "Disable it");
    if (!isSure) return;
    button.setAttribute("aria-disabled", "true");
    try {
      changed(user.disabled ? await users.enable(user.id) : await users.disable(user.id));
      toast(`${user.email} is ${user.disabled ? "enabled" : "disabled"}.`);
    } catch (error) {
      button.removeAttribute("aria-disabled");
      toast(textOf(error), "problem");
    }
  } }, label, h("span", { class: "unseen" }, ` ${user.email}`));
  return button;
}

/** @param {User} user */
function moneyButton(user) {
  return h("button", { class: "button plain small", onclick: () => void ask("Put money in", (close) => [
    h("p", { class: "muted" }, `Into the wallet of ${user.email}`), topUpForm(user, close)]) },
  "Put money in", h("span", { class: "unseen" }, ` for ${user.email}`));
}

/** @param {User} user @param {() => void} close */
function topUpForm(user, close) {
  const transferId = randomKey(); // the same one for every try: money moves once
  return new ActionForm({
    parts: [new FormField({ name: "amount", label: "Amount", required: true, rules: [positiveAmount],
      attributes: { inputmode: "decimal", placeholder: "25.00" } })],
    submit: "Put in",
    async action({ amount = "" }, keyFor) {
      const request = { transferId, amount: moneyFrom(amount) };
      const transfer = await wallets.topUp(user.id, request, keyFor(request));
      close();
      toast(`${money(transfer.amount)} is in the wallet of ${user.email}.`);
    },
  });
}

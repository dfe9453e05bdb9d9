// The ways into an account: address, password, sessions, and how to end it.

import { auth, users, wallets } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { go, showAgain } from "../app/router.js";
import { confirmed } from "../ui/dialog.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { money } from "../ui/format.js";
import { ActionForm } from "../ui/form.js";
import { toast } from "../ui/messages.js";
import { email as emailRule } from "../ui/rules.js";
import { newPasswordFields } from "./reset.js";
import { secondFactor } from "./second-factor.js";
import { codeStep } from "./verify.js";

/** @typedef {import("../api/types.js").User} User */
/** @typedef {[title: string, ...parts: Node[]]} Section */

/**
 * @param {User} user
 * @returns {Section[]}
 */
export function accountSections(user) {
  return [
    ["E-mail", confirmation(user), changeEmail()],
    ["Password", changePassword()],
    ["Second factor", secondFactor(user)],
    ["Sign out", h("p", {}, h("a", { href: "#/sessions" }, "See where you are signed in")),
      h("div", { class: "side-by-side" }, ...signOut())],
    ["Delete the account", deletion()],
  ];
}

/** @param {User} user */
function confirmation(user) {
  if (user.emailVerified) return h("p", {}, h("span", { class: "tag tag-ok" }, "Confirmed"), ` ${user.email}`);
  return h("p", {}, h("span", { class: "tag tag-warn" }, "Not confirmed"), ` ${user.email} `,
    h("a", { href: "#/verify" }, "Confirm it"));
}

function changeEmail() {
  const step = h("div");
  const form = new ActionForm({
    parts: [
      new FormField({ name: "newEmail", label: "New e-mail", type: "email", required: true,
        rules: [emailRule], attributes: { autocomplete: "email", inputmode: "email" } }),
      currentPassword("password"),
    ],
    submit: "Change the e-mail",
    tone: "plain",
    reasons: { INVALID_CREDENTIALS: "password" },
    async action({ newEmail = "", password }) {
      const { flowId } = await auth.changeEmail({ newEmail, password });
      const next = codeStep(newEmail, flowId, {
        canResend: false,
        done() {
          session.readdress(newEmail);
          showAgain();
        },
      });
      fill(step, next);
      next.querySelector("input")?.focus();
    },
  });
  fill(step, form);
  return step;
}

function changePassword() {
  const form = new ActionForm({
    parts: [currentPassword("currentPassword"), ...newPasswordFields("newPassword", "New password")],
    submit: "Change the password",
    tone: "plain",
    reasons: { INVALID_CREDENTIALS: "currentPassword" },
    async action({ currentPassword: old, newPassword }) {
      await auth.changePassword({ currentPassword: old, newPassword });
      form.clear();
      toast("The password is changed. Other sessions have ended.");
    },
  });
  return form;
}

/** @param {string} name */
function currentPassword(name) {
  return new FormField({ name, label: "Current password", type: "password", required: true,
    attributes: { autocomplete: "current-password" } });
}

function signOut() {
  /** @param {boolean} everywhere */
  const leave = async (everywhere) => {
    await auth.logout(everywhere).catch((error) => {
      if (everywhere) throw error; // here the token is forgotten in any case
    });
    go("/products");
    session.close();
    toast(everywhere ? "You are signed out everywhere." : "You are signed out.");
  };
  return [
    new ActionForm({ parts: [], submit: "Sign out", tone: "plain", action: () => leave(false) }),
    new ActionForm({ parts: [], submit: "Sign out everywhere", tone: "plain", action: () => leave(true) }),
  ];
}

/** @param {import("../api/types").Wallet} wallet */
function lost(wallet) {
  return `${money(wallet.balance)} in the wallet and ${money(wallet.pending)} that is pending are lost.`;
}

function deletion() {
  return new ActionForm({
    parts: [h("p", { class: "muted" },
      "Erases the account, the profile, the cart and what is left in the wallet. There is no way back.")],
    submit: "Delete the account",
    tone: "danger",
    async action() {
      const wallet = await wallets.mine();
      const isSure = await confirmed("Delete the account?",
        `Everything that belongs to it is erased. ${lost(wallet)}`, "Delete it");
      if (!isSure) return;
      await users.deleteMe(true);
      go("/products");
      session.close();
      toast("The account is deleted.");
    },
  });
}

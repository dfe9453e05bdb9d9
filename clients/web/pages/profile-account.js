// The ways into an account: address, password, sessions, and how to end it.

import { auth, users, wallets } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { forgetFlow, keepFlow, keptFlow } from "../app/flow.js";
import { go, showAgain } from "../app/router.js";
import { actionButton } from "../ui/action-button.js";
import { ask, keepButton } from "../ui/dialog.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm, turnTo } from "../ui/form.js";
import { isZero, money } from "../ui/format.js";
import { email as emailRule } from "../ui/rules.js";
import { toast } from "../ui/words.js";
import { newPasswordFields } from "./reset.js";
import { secondFactor } from "./second-factor.js";
import { codeStep } from "./verify.js";

/** @import { User, Wallet } from "../api/types.js" */
/** @typedef {[title: string, ...parts: Node[]]} Section */

const WRONG_PASSWORD = { INVALID_CREDENTIALS: "The password is wrong. Try again." };

/**
 * @param {User} user
 * @returns {Section[]}
 */
export function waysIn(user) {
  return [
    ["E-mail", confirmation(user), changeEmail()],
    ["Password", changePassword()],
    ["Second factor", secondFactor(user)],
    ["Sessions", h("p", {}, h("a", { href: "#/sessions" }, "See where you are signed in")), signOutEverywhere()],
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
    words: WRONG_PASSWORD,
    async action({ newEmail = "", password }) {
      const { flowId } = await auth.changeEmail({ newEmail, password });
      keepFlow("email", flowId, newEmail);
      turnTo(step, lastStep(newEmail, flowId));
    },
  });
  /** @param {string} newEmail @param {string} flowId */
  const lastStep = (newEmail, flowId) => codeStep(newEmail, flowId, {
    goBack() {
      forgetFlow("email");
      fill(step, form);
    },
    done() {
      forgetFlow("email");
      session.readdress(newEmail);
      showAgain();
    },
  });
  const begun = keptFlow("email");
  fill(step, begun ? lastStep(begun.email, begun.flowId) : form);
  return step;
}

function changePassword() {
  const form = new ActionForm({
    parts: [currentPassword("currentPassword"), ...newPasswordFields("newPassword", "New password")],
    submit: "Change the password",
    tone: "plain",
    reasons: { INVALID_CREDENTIALS: "currentPassword" },
    words: WRONG_PASSWORD,
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

/** @param {boolean} everywhere */
async function leave(everywhere) {
  await auth.logout(everywhere).catch((error) => {
    if (everywhere) throw error; // here the token is forgotten in any case
  });
  go("/products");
  session.close();
  toast(everywhere ? "You are signed out everywhere." : "You are signed out.");
}

export const signOutButton = () => actionButton({ class: "button plain" }, () => leave(false), "Sign out");

const signOutEverywhere = () => new ActionForm({
  parts: [], submit: "Sign out everywhere", tone: "plain", action: () => leave(true),
});

export function deletion() {
  const form = new ActionForm({
    parts: [h("p", { class: "muted" },
      "Erases the account, the profile, the cart and what is left in the wallet. There is no way back.")],
    submit: "Delete the account",
    tone: "danger",
    async action() {
      const wallet = await wallets.mine();
      if (!form.isConnected) return; // who has left the page meanwhile is not asked
      await ask("Delete the account?", (close) => [lastQuestion(wallet, close)]);
    },
  });
  return form;
}

/** @param {Wallet} wallet @param {() => void} close */
function lastQuestion(wallet, close) {
  const lost = [
    !isZero(wallet.balance) && `${money(wallet.balance)} in the wallet`,
    !isZero(wallet.pending) && `${money(wallet.pending)} of sales that are not shipped yet`,
  ].filter(Boolean).join(" and ");
  const agreed = h("input", { type: "checkbox", name: "forfeit" });
  const box = h("label", { class: "check" }, agreed, `I give up ${lost}.`);
  const form = new ActionForm({
    parts: [h("p", {}, "Everything that belongs to it is erased, and cannot be brought back."),
      lost && h("p", {}, h("strong", {}, `${lost} will be lost.`)), lost && box],
    submit: "Delete it",
    tone: "danger",
    beside: [keepButton(close)],
    words: { BALANCE_LEFT: "Money has come into the wallet meanwhile. Close this, and look at it again." },
    async action() {
      if (lost && !agreed.checked) {
        form.notice.say("Tick the box to say that you give the money up, or keep the account.");
        agreed.focus();
        return;
      }
      await users.deleteMe(lost !== "");
      close();
      go("/products");
      session.close();
      toast("The account is deleted.");
    },
  });
  return form;
}

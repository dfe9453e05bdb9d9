// One user, for administrators: how the account stands, and what may end or begin again.

import { access, users } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { showAgain } from "../app/router.js";
import { confirmed } from "../ui/dialog.js";
import { h } from "../ui/dom.js";
import { ActionForm } from "../ui/form.js";
import { counted, moment, number } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { bones, loaded } from "../ui/loading.js";
import { section } from "../ui/section.js";
import { accountTag, roleName } from "../ui/states.js";
import { toast } from "../ui/words.js";
import { walletSection } from "./admin-wallet.js";
import { sessionRow } from "./sessions.js";

/** @import { Session, User, UserAccess } from "../api/types.js" */

const NO_CHANGE = "Leave it as it is";
/** @type {Record<string, string>} what mailed codes are for */
const PURPOSES = { signup: "Sign-up", verification: "Confirmation of the address", reset: "New password", email_change: "New address" };

/** @param {import("../app/router.js").Visit} visit */
export function page({ params, signal }) {
  const id = params["id"] ?? "";
  const content = loaded({ signal, fetch: () => access.of(id), show: (found) => view(found, signal), skeleton: bones(3, "bone-row") });
  const back = h("a", { class: "back", href: "#/admin/users" }, icon("back"), "All users");
  return { title: "User", content: [h("div", { class: "page" }, back, h("h1", {}, "User"), content)] };
}

/** @param {UserAccess} found @param {AbortSignal} signal */
function view(found, signal) {
  const { user, sessions = [] } = found;
  return [h("div", { class: "column" },
    section("Account",
      h("p", {}, h("strong", {}, user.fullName || user.email), ` ${user.email} · ${roleName(user.role)} `,
        accountTag(user.status)),
      h("p", {}, h("a", { href: `#/admin/orders?user=${user.id}` }, "The orders of this user"),
        user.role === "brand" && h("span", {}, " · ", h("a", { href: `#/products?seller=${user.id}` }, "The products of this brand"))),
      h("div", { class: "side-by-side" }, standing(user), role(user)),
      user.secondFactor ? resetMfa(user) : h("p", { class: "muted" }, "There is no second factor.")),
    walletSection(user, signal),
    section("Limits", ...counters(found), unlock(user)),
    section("Sessions",
      sessions.length ? h("ul", { class: "rows" }, ...sessions.map((each) => sessionRow(each, endOf(user, each))))
        : h("p", { class: "muted" }, "The user is signed in nowhere."),
      ...(sessions.length ? [endAll(user)] : []))),
  ];
}

/** @param {UserAccess} found */
function counters({ wrongPasswords = 0, places = [], codes = [], waitingMail = [] }) {
  const waiting = places.find((each) => each.waitUntil);
  const lines = [
    `${counted(wrongPasswords, "wrong password")} today`,
    waiting?.waitUntil && `A place waits until ${moment(waiting.waitUntil)}`,
    ...codes.map((each) => `${PURPOSES[each.purpose] ?? "Other"}: ${counted(each.sent ?? 0, "code")} sent, ${number(each.wrong ?? 0)} wrong`),
    waitingMail.length && `${counted(waitingMail.length, "mail")} still to be sent`,
  ];
  return [h("ul", {}, ...lines.filter(Boolean).map((line) => h("li", {}, String(line))))];
}

/** @param {User} user */
function standing(user) {
  const name = user.disabled ? "Enable" : "Disable";
  return new ActionForm({
    parts: [], submit: `${name} the account`, tone: user.disabled ? "plain" : "danger",
    async action() {
      const isSure = user.disabled || await confirmed(`Disable ${user.email}?`,
        "All sessions of this account end, and nobody can sign in to it.", "Disable it");
      if (!isSure) return;
      await (user.disabled ? users.enable(user.id) : users.disable(user.id));
      toast(`${user.email} is ${user.disabled ? "enabled" : "disabled"}.`);
      showAgain();
    },
  });
}

/** Nobody takes the role from themselves. @param {User} user */
function role(user) {
  const isAdmin = user.role === "admin";
  if (user.id === session.current?.userId) return false;
  return new ActionForm({
    parts: [], submit: isAdmin ? "Make a customer" : "Make an administrator", tone: "plain",
    async action() {
      const isSure = isAdmin
        ? await confirmed(`Make ${user.email} a customer?`, "The account can no longer look after the shop.", "Make a customer", NO_CHANGE)
        : await confirmed(`Make ${user.email} an administrator?`, promotion(user), "Make an administrator", NO_CHANGE);
      if (!isSure) return;
      await (isAdmin ? users.demote(user.id) : users.promote(user.id));
      toast(`${user.email} is ${isAdmin ? "a customer" : "an administrator, and sees it after the next sign-in"}.`);
      showAgain();
    },
  });
}

/** @param {User} user what becomes of somebody who is made an administrator */
function promotion(user) {
  const gained = "The account can do everything here: users, money, products and orders.";
  if (user.role === "customer") return gained;
  return `${gained} It stops being a ${roleName(user.role).toLowerCase()}, and taking this back makes it a customer.`;
}

/** @param {User} user */
function unlock(user) {
  return new ActionForm({
    parts: [], submit: "Unlock", tone: "plain",
    async action() {
      await access.unlock(user.id);
      toast(`${user.email} can try again at once.`);
      showAgain();
    },
  });
}

/** @param {User} user */
function resetMfa(user) {
  return new ActionForm({
    parts: [h("p", {}, "Login takes a second factor.")], submit: "Reset second factor", tone: "danger",
    async action() {
      const isSure = await confirmed(`Reset the second factor of ${user.email}?`,
        "Find out first who asks. All sessions of the account end, and its owner gets a mail.", "Reset it");
      if (!isSure) return;
      await access.resetMfa(user.id);
      toast(`${user.email} has no second factor.`);
      showAgain();
    },
  });
}

/** @param {User} user @param {Session} each */
function endOf(user, each) {
  return async () => {
    await access.endSession(user.id, each.id);
    toast(`${each.clientName || "The session"} is signed out.`);
    showAgain();
  };
}

/** @param {User} user */
function endAll(user) {
  return new ActionForm({
    parts: [], submit: "End all sessions", tone: "danger",
    async action() {
      await access.endSessions(user.id);
      toast(`${user.email} is signed out everywhere.`);
      showAgain();
    },
  });
}

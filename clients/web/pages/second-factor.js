// The second factor of the account: switched on with an app, and off.

import { auth } from "../api/lockstep.js";
import { showAgain } from "../app/router.js";
import { codeField } from "../ui/code.js";
import { confirmed } from "../ui/dialog.js";
import { fill, h } from "../ui/dom.js";
import { ActionForm, turnTo } from "../ui/form.js";
import { toast } from "../ui/words.js";

/** @param {import("../api/types.js").User} user */
export function secondFactor(user) {
  return user.secondFactor ? switchOff() : switchOn();
}

function switchOn() {
  const step = h("div");
  fill(step, new ActionForm({
    parts: [h("p", { class: "muted" }, "Sign in with a code of an app on your phone, beside the password.")],
    submit: "Add a second factor",
    tone: "plain",
    async action() {
      turnTo(step, enrolment(await auth.createTotp(), step));
    },
  }));
  return step;
}

/**
 * @param {{ secret: string, otpauthUri: string }} made
 * @param {HTMLElement} step
 */
function enrolment({ secret, otpauthUri }, step) {
  return new ActionForm({
    parts: [
      h("p", {}, "Add this secret to your app: ", h("code", { class: "secret" }, inFours(secret))),
      h("p", {}, h("a", { href: otpauthUri }, "Open it in an app on this device")),
      codeField({ name: "code", label: "First code", source: "app" }),
    ],
    submit: "Switch it on",
    reasons: { OTP_INVALID: "code" },
    async action({ code }) {
      const { recoveryCodes } = await auth.confirmTotp({ code });
      fill(step, ...recovery(recoveryCodes));
    },
  });
}

/** @param {string[]} codes */
function recovery(codes) {
  return [
    h("p", {}, "The second factor is on. Keep these recovery codes: each lets you in once without the app. You see them only now."),
    h("ul", { class: "recovery" }, ...codes.map((each) => h("li", {}, h("code", {}, inFours(each))))),
    h("button", { type: "button", class: "button plain", onclick: () => showAgain() }, "I have kept them"),
  ];
}

function switchOff() {
  return new ActionForm({
    parts: [h("p", {}, h("span", { class: "tag tag-ok" }, "On"), " A sign-in takes a code of your app.")],
    submit: "Remove the second factor",
    tone: "plain",
    async action() {
      const isSure = await confirmed("Remove the second factor?",
        "A sign-in then takes the password alone. Your other sessions end.", "Remove it");
      if (!isSure) return;
      await auth.deleteTotp();
      toast("The second factor is removed.");
      showAgain();
    },
  });
}

/** @param {string} text */
const inFours = (text) => text.replace(/(.{4})(?=.)/g, "$1 ");

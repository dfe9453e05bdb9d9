// A new password by e-mailed code.

import { auth } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { forgetFlow, keepFlow, keptFlow } from "../app/flow.js";
import { go } from "../app/router.js";
import { codeField } from "../ui/code.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm, backButton, turnTo } from "../ui/form.js";
import { email as emailRule, password, sameAs } from "../ui/rules.js";
import { toast } from "../ui/words.js";
import { narrowPage } from "./registration.js";

/** @type {import("../app/router.js").Page} */
export function page() {
  const steps = h("div");
  const form = new ActionForm({
    parts: [new FormField({
      name: "email", label: "E-mail", type: "email", required: true, rules: [emailRule],
      value: session.current?.email ?? "", attributes: { autocomplete: "username", inputmode: "email" },
    })],
    submit: "Send me a code",
    async action({ email = "" }) {
      const { flowId } = await auth.requestPasswordReset({ email });
      keepFlow("reset", flowId, email);
      turnTo(steps, newPasswordStep(email, flowId, goBack));
    },
  });
  const goBack = () => {
    forgetFlow("reset");
    fill(steps, form);
  };
  const begun = keptFlow("reset");
  fill(steps, begun ? newPasswordStep(begun.email, begun.flowId, goBack) : form);
  const content = narrowPage("Reset your password", "We mail a code to the address of your account.",
    steps, h("p", { class: "aside" }, h("a", { href: "#/sign-in" }, "Back to sign-in")));
  return { title: "Reset password", content: [content] };
}

/**
 * @param {string} email
 * @param {string} flowId
 * @param {() => void} goBack
 */
function newPasswordStep(email, flowId, goBack) {
  return new ActionForm({
    parts: [
      h("p", {}, "If ", h("strong", {}, email), " has an account, a code is on its way to it."),
      codeField(),
      ...newPasswordFields("newPassword", "New password"),
    ],
    submit: "Set the password",
    reasons: { OTP_INVALID: "otp", OTP_EXPIRED: "otp", OTP_EXHAUSTED: "otp" },
    beside: [backButton(goBack)],
    async action({ otp, newPassword }) {
      await auth.resetPassword({ flowId, email, otp, newPassword });
      forgetFlow("reset");
      session.close(); // all sessions have ended
      toast("The new password is set. Sign in with it.");
      go(`/sign-in?email=${encodeURIComponent(email)}`);
    },
  });
}

/** @param {string} name @param {string} label */
export function newPasswordFields(name, label) {
  return [
    new FormField({
      name, label, type: "password", required: true, rules: [password], showsStrength: true,
      attributes: { autocomplete: "new-password" },
    }),
    new FormField({
      name: "confirmation", label: `Confirm ${label.toLowerCase()}`, type: "password",
      required: true, rules: [sameAs(name, `the ${label.toLowerCase()}`)],
      attributes: { autocomplete: "new-password" },
    }),
  ];
}

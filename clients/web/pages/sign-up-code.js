// Sign-up by e-mailed code: details first, then the six digits.

import { auth } from "../api/lockstep.js";
import { fill, h } from "../ui/dom.js";
import { ActionForm, turnTo } from "../ui/form.js";
import { codeField, ResendButton } from "../ui/code.js";
import { narrowPage, registrationParts, signInAfter, signInLink } from "./registration.js";

/** @typedef {import("../api/types.js").OtpSent} OtpSent */
/** @typedef {Record<string, string>} Values */

/** @type {import("../app/router.js").Page} */
export function page() {
  const registration = registrationParts({ detailsRequired: false });
  const steps = h("div");
  const form = new ActionForm({
    parts: registration.parts,
    submit: "Send me a code",
    async action(values) {
      const request = { ...values, role: registration.role };
      const sent = await auth.sendOtp(request);
      turnTo(steps, codeStep(request, sent, () => fill(steps, form)));
    },
  });
  fill(steps, form);
  const content = narrowPage("Sign up by code", "We mail you six digits; with them your account is made.",
    steps, h("p", { class: "aside" }, h("a", { href: "#/sign-up" }, "Sign up without a code")));
  return { title: "Sign up by code", content: [content] };
}

/**
 * @param {Values} request what was sent
 * @param {OtpSent} sent
 * @param {() => void} goBack
 */
function codeStep(request, sent, goBack) {
  const { email = "", password = "" } = request;
  let { flowId } = sent;
  const form = new ActionForm({
    parts: [
      h("p", {}, "If ", h("strong", {}, email), " can be registered, a code is on its way to it. ",
        `It is good for ${Math.round(sent.expiresIn / 60)} minutes.`),
      codeField(),
    ],
    submit: "Create account",
    reasons: { OTP_INVALID: "otp", OTP_EXPIRED: "otp", OTP_EXHAUSTED: "otp" },
    remedies: { EMAIL_TAKEN: () => [signInLink()] },
    beside: [
      new ResendButton(sent.resendAfter, async () => {
        const again = await auth.sendOtp(request);
        ({ flowId } = again);
        return again.resendAfter;
      }),
      h("button", { type: "button", class: "button plain", onclick: goBack }, "Back"),
    ],
    async action({ otp }) {
      await auth.verifyOtp({ flowId, email, otp });
      await signInAfter(email, password);
      form.clear();
    },
  });
  return form;
}

// Sign-up by e-mailed code: details first, then the six digits.

import { auth } from "../api/lockstep.js";
import { forgetFlow, keepFlow, keptFlow } from "../app/flow.js";
import { go } from "../app/router.js";
import { codeField, ResendButton } from "../ui/code.js";
import { fill, h } from "../ui/dom.js";
import { ActionForm, backButton, turnTo } from "../ui/form.js";
import { toast } from "../ui/words.js";
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
      const sent = await send(request);
      turnTo(steps, codeStep(request, sent, goBack));
    },
  });
  const goBack = () => {
    forgetFlow("sign-up");
    fill(steps, form);
  };
  const begun = keptFlow("sign-up");
  fill(steps, begun ? codeStep({ email: begun.email }, { ...begun, expiresIn: 0, resendAfter: 0 }, goBack) : form);
  const content = narrowPage("Sign up by code", "We mail you six digits; with them your account is made.",
    steps, h("p", { class: "aside" }, h("a", { href: "#/sign-up" }, "Sign up without a code")));
  return { title: "Sign up by code", content: [content] };
}

/** Ask for a code, and keep what belongs to it. @param {Values} request */
async function send(request) {
  const sent = await auth.sendOtp(request);
  keepFlow("sign-up", sent.flowId, request["email"] ?? "", sent.expiresIn);
  return sent;
}

/**
 * @param {Values} request what was sent; after a reload the address alone
 * @param {OtpSent} sent
 * @param {() => void} goBack
 */
function codeStep(request, sent, goBack) {
  const { email = "", password = "" } = request;
  let { flowId } = sent;
  const form = new ActionForm({
    parts: [
      h("p", {}, "If ", h("strong", {}, email), " can be registered, a code is on its way to it. ",
        sent.expiresIn ? `It is good for ${Math.round(sent.expiresIn / 60)} minutes.` : "Without one, go back and ask again."),
      codeField(),
    ],
    submit: "Create account",
    reasons: { OTP_INVALID: "otp", OTP_EXPIRED: "otp", OTP_EXHAUSTED: "otp" },
    remedies: { EMAIL_TAKEN: () => [signInLink()] },
    beside: [
      ...(password ? [new ResendButton(sent.resendAfter, async () => {
        const again = await send(request);
        ({ flowId } = again);
        return again.resendAfter;
      })] : []),
      backButton(goBack),
    ],
    async action({ otp }) {
      await auth.verifyOtp({ flowId, email, otp });
      forgetFlow("sign-up");
      if (password) await signInAfter(email, password);
      else askToSignIn(email);
      form.clear();
    },
  });
  return form;
}

/** The password went with the reload. @param {string} email */
function askToSignIn(email) {
  toast("Your account is ready. Sign in with your password.");
  go(`/sign-in?email=${encodeURIComponent(email)}`, { replace: true });
}

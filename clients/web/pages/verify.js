// Confirming the e-mail address with the code that was mailed to it.

import { auth } from "../api/lockstep.js";
import { forgetVerification, keepVerification, keptVerification, session } from "../api/session.js";
import { go } from "../app/router.js";
import { codeField, ResendButton } from "../ui/code.js";
import { fill, h } from "../ui/dom.js";
import { ActionForm, backButton, turnTo } from "../ui/form.js";
import { toast } from "../ui/words.js";
import { narrowPage } from "./registration.js";

const RESEND_SECONDS = 60;

/** @type {import("../app/router.js").Page} */
export function page() {
  const email = session.current?.email ?? "";
  const steps = h("div");
  const kept = keptVerification(email);
  const content = narrowPage("Confirm your e-mail", `For ${email}`, steps,
    h("p", { class: "aside" }, h("a", { href: "#/products" }, "Later")));
  fill(steps, kept ? codeStep(email, kept) : sendStep(email, steps));
  return { title: "Confirm your e-mail", content: [content] };
}

/**
 * @param {string} email
 * @param {HTMLElement} steps
 */
function sendStep(email, steps) {
  return new ActionForm({
    parts: [h("p", {}, "We mail you a code; with it your address is confirmed.")],
    submit: "Send me a code",
    async action() {
      const { flowId } = await auth.sendEmailVerification();
      keepVerification(flowId, email);
      turnTo(steps, codeStep(email, flowId));
    },
  });
}

/**
 * @param {string} email the address that the code was mailed to
 * @param {string} flowId
 * @param {{ done?: () => void, goBack?: () => void }} [how] with a way back there is no other code
 */
export function codeStep(email, flowId, { done = () => go("/profile"), goBack } = {}) {
  let flow = flowId;
  return new ActionForm({
    parts: [h("p", {}, "A code was mailed to ", h("strong", {}, email), "."), codeField()],
    submit: "Confirm",
    reasons: { OTP_INVALID: "otp", OTP_EXPIRED: "otp", OTP_EXHAUSTED: "otp" },
    beside: goBack ? [backButton(goBack)] : [new ResendButton(0, async () => {
      const again = await auth.sendEmailVerification();
      flow = again.flowId;
      keepVerification(flow, email);
      return RESEND_SECONDS;
    })],
    async action({ otp }) {
      await auth.verifyEmail({ flowId: flow, email, otp });
      forgetVerification();
      toast("Your e-mail address is confirmed.");
      done();
    },
  });
}

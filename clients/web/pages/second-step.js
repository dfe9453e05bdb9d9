// The second step of a sign-in: a code of the app, or a recovery code.

import { auth } from "../api/lockstep.js";
import { tidyCode } from "../ui/code.js";
import { h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm, backButton } from "../ui/form.js";

/** @import { Tokens } from "../api/types.js" */

const SIX_DIGITS = /^[0-9]{6}$/;

/**
 * @param {string} mfaToken
 * @param {(tokens: Tokens) => void} done
 * @param {() => void} [goBack]
 */
export function secondStep(mfaToken, done, goBack) {
  return new ActionForm({
    parts: [
      h("p", {}, "Your account has a second factor."),
      new FormField({
        name: "code", label: "Code", required: true,
        hint: "Six digits of your app, or a recovery code",
        tidy: tidyCode,
        attributes: { class: "code", autocomplete: "one-time-code", maxlength: 40 },
      }),
    ],
    submit: "Go on",
    reasons: { OTP_INVALID: "code" },
    words: {
      OTP_EXPIRED: "This took too long. Enter your password again.",
      OTP_EXHAUSTED: "The code was wrong too often. Enter your password again.",
    },
    beside: goBack ? [backButton(goBack)] : [],
    async action({ code = "" }) {
      const proof = SIX_DIGITS.test(code) ? { code } : { recoveryCode: code };
      done(await auth.verifyMfa({ mfaToken, ...proof }));
    },
  });
}

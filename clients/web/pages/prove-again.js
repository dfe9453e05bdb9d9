// The dialog that asks for the password again, before what needs it.

import { auth } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { ask } from "../ui/dialog.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm, turnTo } from "../ui/form.js";
import { secondStep } from "./second-step.js";

/** Ask for the password, and perhaps the second factor; say whether it was given. */
export async function proveAgain() {
  const answer = await ask("Your password again", (close) => {
    const step = h("div");
    /** @param {import("../api/types.js").Tokens} tokens */
    const done = (tokens) => {
      session.replace(tokens);
      close("proven");
    };
    fill(step, new ActionForm({
      parts: [
        h("p", {}, "You entered it a while ago, and this needs it."),
        new FormField({ name: "password", label: "Your password", type: "password", required: true,
          attributes: { autocomplete: "current-password" } }),
      ],
      submit: "Go on",
      reasons: { INVALID_CREDENTIALS: "password" },
      words: { INVALID_CREDENTIALS: "The password is wrong. Try again." },
      async action({ password }) {
        const opened = await auth.reauthenticate({ password });
        if (!opened.mfaToken) return done(opened);
        turnTo(step, secondStep(opened.mfaToken, done));
      },
    }));
    return [step];
  });
  return answer === "proven";
}

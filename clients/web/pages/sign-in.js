// Sign-in.

import { clientName } from "../api/client-name.js";
import { auth } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { forgetFlow, keepFlow, keptFlow } from "../app/flow.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm, turnTo } from "../ui/form.js";
import { narrowPage } from "./registration.js";
import { secondStep } from "./second-step.js";

const STEP_SECONDS = 5 * 60; // as long as the server waits for the second step

/** @type {import("../app/router.js").Page} */
export function page({ query }) {
  const step = h("div");
  const form = new ActionForm({
    parts: [
      new FormField({
        name: "email", label: "E-mail", type: "email", required: true,
        value: query.get("email") ?? "", attributes: { autocomplete: "username", inputmode: "email" },
      }),
      new FormField({
        name: "password", label: "Password", type: "password", required: true,
        attributes: { autocomplete: "current-password" },
      }),
    ],
    submit: "Sign in",
    async action({ email, password }) {
      const opened = await auth.login({ email, password, clientName: clientName() });
      if (!opened.mfaToken) {
        session.open(opened);
        return;
      }
      keepFlow("sign-in", opened.mfaToken, email ?? "", STEP_SECONDS);
      turnTo(step, codeStep(opened.mfaToken));
    },
  });
  /** @param {string} mfaToken */
  const codeStep = (mfaToken) => secondStep(mfaToken, (tokens) => {
    forgetFlow("sign-in");
    session.open(tokens);
  }, () => {
    forgetFlow("sign-in");
    fill(step, form);
  });
  const begun = keptFlow("sign-in");
  fill(step, begun ? codeStep(begun.flowId) : form);
  const wanted = query.get("to");
  const lead = wanted ? "Please sign in to go on." : "Good to see you again.";
  const target = wanted ? `?to=${encodeURIComponent(wanted)}` : "";
  const content = narrowPage("Sign in", lead, step,
    h("p", { class: "aside" }, h("a", { href: "#/reset" }, "Forgot the password?")),
    h("p", { class: "aside" }, "New here? ", h("a", { href: `#/sign-up${target}` }, "Create an account")));
  return { title: "Sign in", content: [content] };
}

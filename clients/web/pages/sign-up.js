// Sign-up: one registration call, then in.

import { auth } from "../api/lockstep.js";
import { keepVerification } from "../api/session.js";
import { h } from "../ui/dom.js";
import { ActionForm } from "../ui/form.js";
import { narrowPage, registrationParts, signInAfter, signInLink } from "./registration.js";

/** @type {import("../app/router.js").Page} */
export function page() {
  const registration = registrationParts({ detailsRequired: true });
  const form = new ActionForm({
    parts: registration.parts,
    submit: "Create account",
    reasons: { EMAIL_TAKEN: "email", PHONE_TAKEN: "phoneNumber" },
    words: { PROFILE_UNAVAILABLE: "The shop does not answer just now, so nothing was registered. Try again in a moment." },
    async action(values, keyFor) {
      const request = { ...values, role: registration.role };
      const made = await auth.register(request, keyFor(request));
      const { email = "", password = "" } = values;
      keepVerification(made.verificationFlowId ?? "", email);
      await signInAfter(email, password);
      form.clear();
    },
  });
  const content = narrowPage("Create your account", "Everything at once: account and profile, or nothing.",
    form, h("p", { class: "aside" }, "Rather prove your mailbox first? ",
      h("a", { href: "#/sign-up/code" }, "Sign up with an e-mailed code"), "."),
    h("p", { class: "aside" }, "Have an account already? ", signInLink()));
  return { title: "Sign up", content: [content] };
}

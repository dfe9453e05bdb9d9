// The flow of the code that a registration has mailed, kept until it is used.

import { kept, session } from "../api/session.js";
import { h } from "../ui/dom.js";

const KEY = "lockstep.verification";

/** @param {string} flowId @param {string} email */
export function keepVerification(flowId, email) {
  if (flowId) localStorage.setItem(KEY, JSON.stringify({ flowId, email }));
}

/**
 * @param {string} email of who is signed in
 * @returns {string | null} the flow
 */
export function keptVerification(email) {
  const found = kept(KEY);
  return String(found?.email).toLowerCase() === email.toLowerCase() ? found.flowId : null;
}

export const forgetVerification = () => localStorage.removeItem(KEY);

/** What reminds somebody of a code that waits to be typed. */
export function verificationBanner() {
  const email = session.current?.email;
  return email && keptVerification(email) && h("p", { class: "banner" },
    "A code was mailed to you. ", h("a", { href: "#/verify" }, "Confirm your e-mail address"), ".");
}

// How far a flow of several steps has come: this tab keeps it, so that a reload goes on where the
// reader was. There is never a password in it.

import { keptBy, session } from "../api/session.js";

/** @typedef {{ flowId: string, email: string, until: number, userId: string }} Flow */
/** @typedef {"sign-up" | "sign-in" | "reset" | "email"} Name */

const MINUTES = 10;

const whose = () => session.current?.userId ?? "";

/** @param {Name} name */
const keyOf = (name) => `lockstep.flow.${name}`;

/** @param {Name} name @param {string} flowId @param {string} email @param {number} [seconds] how long it is good for */
export function keepFlow(name, flowId, email, seconds = MINUTES * 60) {
  sessionStorage.setItem(keyOf(name), JSON.stringify({ flowId, email, until: Date.now() + seconds * 1000, userId: whose() }));
}

/** @param {Name} name @returns {Flow | null} null where there is none, its time is over, or somebody else began it */
export function keptFlow(name) {
  const found = keptBy(sessionStorage, keyOf(name));
  const isWhole = typeof found?.flowId === "string" && typeof found.email === "string";
  return isWhole && found.until > Date.now() && found.userId === whose() ? found : null;
}

/** @param {Name} name */
export const forgetFlow = (name) => sessionStorage.removeItem(keyOf(name));

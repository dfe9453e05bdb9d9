// The flow of the code that a registration has mailed, kept until it is used.

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
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "null");
    return kept?.email.toLowerCase() === email.toLowerCase() ? kept.flowId : null;
  } catch {
    return null;
  }
}

export const forgetVerification = () => localStorage.removeItem(KEY);

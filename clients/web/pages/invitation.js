// The page that the mail of an invitation leads to: an account with its address and role.

import { ApiError } from "../api/http.js";
import { auth } from "../api/lockstep.js";
import { go } from "../app/router.js";
import { h } from "../ui/dom.js";
import { ActionForm } from "../ui/form.js";
import { bones, loaded } from "../ui/loading.js";
import { roleName } from "../ui/states.js";
import { accountFields, narrowPage, signInAfter, signInLink } from "./registration.js";

/** @import { Invitation } from "../api/types.js" */

/** @type {import("../app/router.js").Page} */
export function page({ query, signal }) {
  const token = query.get("token") ?? "";
  const content = loaded({
    signal,
    fetch: () => openInvitation(token),
    show: (invitation) => (invitation ? welcome(invitation, token) : [ended()]),
    skeleton: bones(4, "bone-row"),
  });
  return { title: "Invitation", content: [narrowPage("You are invited",
    "Your address is confirmed already. Fill in the rest, and your account is made.", content)] };
}

/** @param {string} token @returns {Promise<Invitation | null>} null when it has ended */
async function openInvitation(token) {
  if (!token) return null;
  try {
    return await auth.checkInvitation({ token });
  } catch (error) {
    if (error instanceof ApiError && error.reason === "INVITATION_NOT_FOUND") return null;
    throw error;
  }
}

const ended = () => h("p", {}, "There is no such invitation, or it has ended. Ask for a new one, or ",
  h("a", { href: "#/sign-up" }, "sign up"), " without it.");

/** @param {Invitation} invitation @param {string} token */
function welcome({ email, role }, token) {
  return [
    h("p", {}, "This account will be a ", h("strong", {}, roleName(role).toLowerCase()), " at ", h("strong", {}, email), "."),
    new ActionForm({
      parts: accountFields(role),
      submit: "Create account",
      remedies: { EMAIL_TAKEN: () => [signInLink()] },
      async action(values) {
        const { confirmPassword: _, ...account } = values;
        await auth.acceptInvitation({ token, ...account });
        await signInAfter(email, values.password ?? "");
        go("/products", { replace: true });
      },
    }),
  ];
}

// Invitations, for administrators: who was invited and has not come yet, and a form for more.

import { invitations } from "../api/lockstep.js";
import { showAgain } from "../app/router.js";
import { actionButton } from "../ui/action-button.js";
import { h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm } from "../ui/form.js";
import { date } from "../ui/format.js";
import { KeysetList } from "../ui/keyset-list.js";
import { empty } from "../ui/loading.js";
import { email } from "../ui/rules.js";
import { section } from "../ui/section.js";
import { roleName } from "../ui/states.js";
import { tableRow } from "../ui/table.js";
import { toast } from "../ui/words.js";
import { adminTabs } from "./admin-tabs.js";
import { ROLES } from "./registration.js";

/** @import { Invitation } from "../api/types.js" */

const COLUMNS = [{ title: "E-mail", kind: "main" }, { title: "Role" }, { title: "Good until" }, { title: "Action", kind: "end" }];

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal }) {
  const list = new KeysetList({
    noun: "invitations", columns: COLUMNS, bone: "bone-cell", signal,
    async fetch(pageToken) {
      const found = await invitations.list(pageToken);
      return { items: found.invitations, next: found.nextPageToken };
    },
    show: invitationRow,
    empty: () => empty("account", "No open invitations", "Everybody who was invited has come, or their time is over."),
  });
  return {
    title: "Invitations",
    content: [h("div", { class: "page" }, h("h1", {}, "Invitations"), adminTabs("invitations"),
      section("Invite a person", inviteForm()), list)],
  };
}

function inviteForm() {
  return new ActionForm({
    parts: [h("div", { class: "fields" },
      new FormField({ name: "email", label: "E-mail", type: "email", required: true, rules: [email],
        attributes: { inputmode: "email" } }),
      new FormField({ name: "role", label: "Role", type: "select", required: true, value: "customer",
        options: ROLES.map(([role]) => [role, roleName(role)]) }),
      new FormField({ name: "language", label: "Language of the mail", type: "select", required: true, value: "en",
        options: [["en", "English"], ["de", "Deutsch"]] }))],
    submit: "Invite",
    reasons: { EMAIL_TAKEN: "email", REGISTRATION_IN_PROGRESS: "email" },
    async action(values) {
      const made = await invitations.create(values);
      toast(`${made.email} is invited until ${date(made.expireTime)}.`);
      showAgain();
    },
  });
}

/** @param {Invitation} invitation */
function invitationRow({ id, email: address, role, expireTime }) {
  const button = actionButton({ class: "button plain small" }, async () => {
    await invitations.end(id);
    toast(`The invitation of ${address} has ended.`);
    showAgain();
  }, "End", h("span", { class: "unseen" }, ` the invitation of ${address}`));
  return tableRow(COLUMNS, address, roleName(role), date(expireTime), button);
}

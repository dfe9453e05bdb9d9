// Users, for administrators: found by address, role and state.

import { users } from "../api/lockstep.js";
import { replaceQuery } from "../app/router.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { date } from "../ui/format.js";
import { KeysetList } from "../ui/keyset-list.js";
import { empty } from "../ui/loading.js";
import { accountTag, roleName } from "../ui/states.js";
import { tableRow } from "../ui/table.js";
import { adminTabs } from "./admin-tabs.js";

/** @typedef {import("../api/types.js").User} User */

const PAUSE_MS = 350;
/** @type {[string, string][]} */
const ROLES = [["", "All"], ...["customer", "creator", "brand", "student", "admin"].map(
  (role) => /** @type {[string, string]} */ ([role, roleName(role)]))];
/** @type {[string, string][]} */
const STATES = [["", "All"], ["active", "Active"], ["disabled", "Disabled"], ["deleting", "Being deleted"]];

const COLUMNS = [{ title: "User", kind: "main" }, { title: "Role" }, { title: "Since" }, { title: "State", kind: "end" }];

/** @param {import("../app/router.js").Visit} visit */
export function page({ query, signal, place }) {
  const results = h("div");
  const fields = [
    new FormField({ name: "emailPrefix", label: "E-mail begins with", value: query.get("emailPrefix") ?? "", attributes: { type: "search" } }),
    new FormField({ name: "role", label: "Role", type: "select", options: ROLES, value: query.get("role") ?? "" }),
    new FormField({ name: "status", label: "State", type: "select", options: STATES, value: query.get("status") ?? "" }),
  ];
  const show = () => fill(results, userList(Object.fromEntries(fields.map(({ name, value }) => [name, value])), signal, place));
  /** @type {number | undefined} */
  let pause;
  const form = h("form", { class: "user-filters", role: "search", "aria-label": "Users", oninput: () => {
    clearTimeout(pause);
    pause = setTimeout(() => {
      replaceQuery(new URLSearchParams(fields.filter(({ value }) => value).map(({ name, value }) => [name, value])));
      place.clear();
      show();
    }, PAUSE_MS);
  }, onsubmit: (/** @type {Event} */ event) => event.preventDefault() }, ...fields);
  show();
  return { title: "Users", content: [h("div", { class: "page" }, h("h1", {}, "Users"), adminTabs("users"), form, results)] };
}

/** @param {Record<string, string>} filters @param {AbortSignal} signal @param {Map<string, unknown>} place */
function userList(filters, signal, place) {
  return new KeysetList({
    noun: "users", columns: COLUMNS, bone: "bone-cell", signal, place,
    async fetch(pageToken) {
      const found = await users.list({ ...filters, pageToken });
      return { items: found.users, next: found.nextPageToken };
    },
    show: userRow,
    empty: () => empty("account", "Nobody found", "No account matches."),
  });
}

/** @param {User} user */
const userRow = ({ id, email, fullName, role, status, createTime }) => tableRow(COLUMNS,
  h("div", { class: "names" }, h("a", { class: "row-link", href: `#/admin/users/${id}` }, fullName || email), fullName && h("span", { class: "muted" }, email)),
  roleName(role), date(createTime), accountTag(status));

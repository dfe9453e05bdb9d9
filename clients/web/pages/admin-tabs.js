// The parts of administration.

import { h } from "../ui/dom.js";

/** @param {"users" | "invitations" | "catalog"} current */
export function adminTabs(current) {
  /** @param {"users" | "invitations" | "catalog"} name @param {string} label */
  const tab = (name, label) => h("a", {
    href: `#/admin/${name}`, "aria-current": name === current ? "page" : null,
  }, label);
  return h("nav", { class: "tabs", "aria-label": "Administration" }, tab("users", "Users"),
    tab("invitations", "Invitations"), tab("catalog", "Catalog"));
}

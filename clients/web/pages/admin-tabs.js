// The two halves of administration.

import { h } from "../ui/dom.js";

/** @param {"users" | "catalog"} current */
export function adminTabs(current) {
  /** @param {"users" | "catalog"} name @param {string} label */
  const tab = (name, label) => h("a", {
    href: `#/admin/${name}`, "aria-current": name === current ? "page" : null,
  }, label);
  return h("nav", { class: "tabs", "aria-label": "Administration" }, tab("users", "Users"), tab("catalog", "Catalog"));
}

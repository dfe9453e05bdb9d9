// The parts of administration.

import { pageTabs } from "../ui/tabs.js";

/** @param {"orders" | "users" | "invitations" | "catalog" | "categories"} current */
export function adminTabs(current) {
  return pageTabs("Administration", `/admin/${current}`, [["/admin/orders", "Orders"], ["/admin/users", "Users"], ["/admin/invitations", "Invitations"],
    ["/admin/catalog", "Catalog"], ["/admin/categories", "Categories"]]);
}

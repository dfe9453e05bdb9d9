// All products, for administrators.

import { h } from "../ui/dom.js";
import { adminTabs } from "./admin-tabs.js";
import { productRows } from "./product-rows.js";

/** @param {import("../app/router.js").Visit} visit */
export function page(visit) {
  return { title: "Catalog", content: [h("div", { class: "page" },
    h("div", { class: "page-head" }, h("h1", {}, "Catalog"), h("a", { class: "button primary", href: "#/admin/catalog/new" }, "Add a product")),
    adminTabs("catalog"), ...productRows(visit, "/admin/catalog", "#/admin/catalog/", {}))] };
}

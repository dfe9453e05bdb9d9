// The products of a brand.

import { session } from "../api/session.js";
import { verificationBanner } from "../app/shell.js";
import { h } from "../ui/dom.js";
import { productRows } from "./product-rows.js";
import { sellTabs } from "./sell-tabs.js";

/** @param {import("../app/router.js").Visit} visit */
export function page(visit) {
  const rows = productRows(visit, "/sell", "#/sell/products/", { seller: session.current?.userId ?? "" });
  return { title: "Your products", content: [h("div", { class: "page" }, verificationBanner(),
    h("div", { class: "page-head" }, h("h1", {}, "Your products"), h("a", { class: "button primary", href: "#/sell/new" }, "Add a product")),
    sellTabs("/sell"), ...rows)] };
}

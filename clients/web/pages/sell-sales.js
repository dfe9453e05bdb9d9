// What a brand has sold: what waits to be shipped first, and the returns.

import { sales } from "../api/lockstep.js";
import { showAgain } from "../app/router.js";
import { h } from "../ui/dom.js";
import { grouped, moment, money } from "../ui/format.js";
import { KeysetList } from "../ui/keyset-list.js";
import { empty } from "../ui/loading.js";
import { filterChips } from "../ui/tabs.js";
import { leftOf, lineActions, shipForm } from "./order-actions.js";
import { lineView } from "./order-lines.js";
import { sellTabs } from "./sell-tabs.js";

/** @import { Sale } from "../api/types.js" */

/** @param {import("../app/router.js").Visit} visit */
export function page({ query, signal }) {
  const shown = query.get("show") ?? "";
  const list = new KeysetList({
    noun: "orders", kind: "rows", signal,
    async fetch(pageToken) {
      const found = await sales.list({ fulfilled: { "": "false", shipped: "true" }[shown], pageToken });
      return { items: byOrder(found.sales), next: found.nextPageToken };
    },
    show: (lines) => saleCard(lines),
    empty: () => (shown ? empty("orders", "Nothing here yet", "Your sales are kept here.")
      : empty("check", "Nothing waits to be shipped", "What is bought from you comes here first.",
        h("a", { href: "#/sell/sales?show=all" }, "See all sales"))),
  });
  return { title: "Sales", content: [h("div", { class: "page" }, h("h1", {}, "Sales"), sellTabs("/sell/sales"),
    filterChips("State", "#/sell/sales", "show", shown, [["", "To ship"], ["shipped", "Shipped"], ["all", "All"]]), list)] };
}

/** Lines of one order lie side by side. @param {Sale[]} lines @returns {Sale[][]} */
function byOrder(lines) {
  /** @type {Sale[][]} */
  const groups = [];
  for (const line of lines) {
    const last = groups.at(-1);
    if (last?.[0]?.orderId === line.orderId) last.push(line);
    else groups.push([line]);
  }
  return groups;
}

/** @param {Sale[]} lines of one order */
function saleCard(lines) {
  const [first] = lines;
  if (!first) return h("article");
  const order = { id: first.orderId, number: first.number };
  const waiting = lines.filter((each) => !each.fulfilled && leftOf(each) > 0);
  return h("article", { class: "card sale" },
    h("div", { class: "page-head" }, h("h2", {}, `Order ${grouped(first.number)}`), h("p", { class: "muted" }, moment(first.createTime))),
    h("div", { class: "sale-parts" },
      h("ul", { class: "lines", "aria-label": "Sold products" }, ...lines.map((each) => saleLine(order, each))),
      waiting.length > 0 && h("div", { class: "stack" },
        h("div", { class: "address" }, h("h3", {}, "Ship to"), h("p", {}, first.shippingAddress || "No address was given. Ask the shop.")),
        shipForm(order, showAgain, waiting.map((each) => each.productId)))));
}

/** @param {{ id: string, number: string }} order @param {Sale} sale */
function saleLine(order, sale) {
  return lineView(sale, "ORDER_STATE_PAID", {
    name: h("p", { class: "line-name" }, sale.name),
    actions: lineActions(order, sale, showAgain),
    total: h("div", { class: "line-total" }, h("p", { class: "amount" }, money(sale.share)), h("p", { class: "muted" }, "your share")),
  });
}

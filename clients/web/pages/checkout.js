// Checkout: what it costs, what the wallet holds, one button.

import { ApiError } from "../api/http.js";
import { orders, wallets } from "../api/lockstep.js";
import { basket } from "../app/basket.js";
import { go } from "../app/router.js";
import { h } from "../ui/dom.js";
import { ActionForm } from "../ui/form.js";
import { counted, difference, isLess, money } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { bones, empty, loaded } from "../ui/loading.js";
import { toast } from "../ui/messages.js";

/** @import { Order, Wallet } from "../api/types.js" */

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal }) {
  const content = loaded({
    signal,
    fetch: preview,
    show: (seen) => (seen ? [checkout(seen.order, seen.wallet)] : [nothing()]),
    skeleton: bones(1, "bone-product"),
  });
  const back = h("a", { class: "back", href: "#/cart" }, icon("back"), "Back to the cart");
  return { title: "Checkout", content: [h("div", { class: "page" }, back, h("h1", {}, "Checkout"), content)] };
}

async function preview() {
  try {
    const [order, wallet] = await Promise.all([orders.preview(), wallets.mine()]);
    return { order, wallet };
  } catch (error) {
    if (error instanceof ApiError && error.reason === "CART_EMPTY") return null;
    throw error;
  }
}

function nothing() {
  return empty("cart", "Your cart is empty", "There is nothing to pay for.",
    h("a", { class: "button primary", href: "#/products" }, "See the products"));
}

/** @param {Order} order as it would be @param {Wallet} wallet */
function checkout(order, wallet) {
  const isEnough = !isLess(wallet.balance, order.total);
  const form = new ActionForm({
    parts: [sums(order, wallet, isEnough)],
    submit: `Pay ${money(order.total)}`,
    remedies: {
      PRICE_CHANGED: () => [h("a", { href: "#/cart" }, "Look at the cart")],
      NO_STOCK: () => [h("a", { href: "#/cart" }, "Change the cart")],
      ITEM_UNAVAILABLE: () => [h("a", { href: "#/cart" }, "Change the cart")],
      INSUFFICIENT_FUNDS: () => [h("a", { href: "#/wallet" }, "See the wallet")],
      CART_EMPTY: () => [h("a", { href: "#/orders" }, "See the orders")],
    },
    async action(_, keyFor) {
      const placed = await orders.place(order.total, keyFor([order.total, order.items]));
      basket.refresh().catch(() => basket.show(null)); // the badge; the order is placed
      toast("Thank you! Your order is placed.");
      go(`/orders/${placed.id}`, { replace: true });
    },
  });
  return h("div", { class: "with-summary" }, items(order),
    h("aside", { class: "card summary", "aria-label": "Payment" }, form));
}

/** @param {Order} order */
export function items(order) {
  return h("ul", { class: "lines", "aria-label": "Products" }, ...order.items.map((item) => h("li", { class: "line plain-line" },
    h("div", { class: "line-text" },
      h("a", { class: "line-name", href: `#/products/${item.productId}` }, item.name),
      h("p", { class: "muted" }, `${counted(item.quantity, "piece")} at ${money(item.unitPrice)}`)),
    h("p", { class: "line-total amount" }, money(item.lineTotal)))));
}

/** @param {Order} order @param {Wallet} wallet @param {boolean} isEnough */
function sums(order, wallet, isEnough) {
  return h("div", {},
    h("dl", { class: "sums" },
      h("div", {}, h("dt", {}, "Wallet"), h("dd", { class: "amount" }, money(wallet.balance))),
      h("div", { class: "sum" }, h("dt", {}, "Total"), h("dd", { class: "amount" }, money(order.total))),
      isEnough && h("div", {}, h("dt", {}, "Left afterwards"),
        h("dd", { class: "amount" }, money(difference(wallet.balance, order.total))))),
    !isEnough && h("p", { class: "line-problem" }, icon("alert"),
      `The wallet lacks ${money(difference(order.total, wallet.balance))}.`));
}

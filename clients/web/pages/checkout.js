// Checkout: where to ship, what it costs, what the wallet holds, one button.

import { ApiError } from "../api/http.js";
import { orders, profiles, wallets } from "../api/lockstep.js";
import { basket } from "../app/basket.js";
import { go } from "../app/router.js";
import { h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm } from "../ui/form.js";
import { counted, difference, isLess, money } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { bones, empty, loaded } from "../ui/loading.js";
import { atMost } from "../ui/rules.js";
import { thumbnail } from "../ui/thumbnails.js";
import { perhaps } from "./perhaps.js";

/** @import { Order, Wallet } from "../api/types.js" */
/** @typedef {{ order: Order, wallet: Wallet, address: string }} Seen */

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal }) {
  const content = loaded({
    signal,
    fetch: preview,
    show: (seen) => (seen ? [checkout(seen)] : [nothing(), perhaps(signal)]),
    skeleton: bones(1, "bone-product"),
  });
  const back = h("a", { class: "back", href: "#/cart" }, icon("back"), "Back to the cart");
  return { title: "Checkout", content: [h("div", { class: "page" }, back, h("h1", {}, "Checkout"), content)] };
}

/** @returns {Promise<Seen | null>} */
async function preview() {
  await basket.refresh(); // what a guest has put in comes first
  try {
    const [order, wallet, profile] = await Promise.all([orders.preview(), wallets.mine(), profiles.me()]);
    return { order, wallet, address: profile.address ?? "" };
  } catch (error) {
    if (error instanceof ApiError && error.reason === "CART_EMPTY") return null;
    throw error;
  }
}

function nothing() {
  return empty("cart", "Your cart is empty", "There is nothing to pay for.",
    h("a", { class: "button primary", href: "#/products" }, "See the products"));
}

/** @param {Seen} seen */
function checkout({ order, wallet, address }) {
  const isEnough = !isLess(wallet.balance, order.total);
  return h("div", { class: "with-summary" },
    h("div", { class: "column" },
      isEnough ? payment(order, wallet, address) : tooLittle(order, wallet)),
    h("aside", { class: "card summary", "aria-label": "Your order" },
      h("h2", {}, "Your order"), compact(order),
      h("dl", { class: "sums" },
        h("div", {}, h("dt", {}, "Delivery"), h("dd", {}, "Free")),
        h("div", { class: "sum" }, h("dt", {}, "Total"), h("dd", { class: "amount" }, money(order.total))))));
}

/** @param {Order} order @param {Wallet} wallet @param {string} address */
function payment(order, wallet, address) {
  const toCart = () => [h("a", { href: "#/cart" }, "Look at the cart")];
  return h("section", { class: "card", "aria-label": "Payment" }, new ActionForm({
    parts: [
      h("h2", {}, "Delivery"),
      new FormField({ name: "shippingAddress", label: "Delivery address", type: "textarea", required: true,
        rules: [atMost(300)], value: address, hint: "Name, street, postcode, town, country",
        attributes: { autocomplete: "shipping street-address" } }),
      h("h2", {}, "Payment"),
      h("dl", { class: "sums" },
        h("div", {}, h("dt", {}, "Wallet"), h("dd", { class: "amount" }, money(wallet.balance))),
        h("div", {}, h("dt", {}, "Left afterwards"),
          h("dd", { class: "amount" }, money(difference(wallet.balance, order.total))))),
    ],
    submit: `Pay ${money(order.total)}`,
    words: { PROFILE_UNAVAILABLE: "Payments do not work just now; nothing was ordered or charged. Try again in a moment." },
    remedies: {
      PRICE_CHANGED: toCart, NO_STOCK: toCart, ITEM_UNAVAILABLE: toCart,
      INSUFFICIENT_FUNDS: () => [h("a", { href: "#/wallet" }, "See the wallet")],
      CART_EMPTY: () => [h("a", { href: "#/orders" }, "See the orders")],
    },
    async action({ shippingAddress }, keyFor) {
      const key = keyFor([order.total, order.items, shippingAddress]);
      const placed = await orders.place({ expectedTotal: order.total, shippingAddress }, key);
      basket.refresh().catch(() => basket.show(null)); // the badge; the order is placed
      basket.tell();
      go(`/orders/${placed.id}?new`, { replace: true });
    },
  }), h("p", { class: "aside" }, "You can cancel until it is shipped, and return what you do not like."));
}

/** @param {Order} order @param {Wallet} wallet */
function tooLittle(order, wallet) {
  return h("section", { class: "card", "aria-label": "Payment" },
    h("h2", {}, `${money(difference(order.total, wallet.balance))} are missing`),
    h("p", {}, `Your wallet holds ${money(wallet.balance)}, and the order costs ${money(order.total)}.`),
    h("p", { class: "muted" }, "Ask the shop to add money to your wallet, or take something out of the cart."),
    h("p", { class: "actions" }, h("a", { class: "button plain", href: "#/cart" }, "Change the cart"),
      h("a", { class: "button plain", href: "#/wallet" }, "See the wallet")));
}

/** @param {Order} order */
function compact(order) {
  return h("ul", { class: "compact", "aria-label": "Products" }, ...order.items.map((item) => h("li", {},
    thumbnail(item),
    h("div", {}, h("a", { class: "line-name", href: `#/products/${item.productId}` }, item.name),
      h("p", { class: "muted" }, `${counted(item.quantity, "piece")} at ${money(item.unitPrice)}`)),
    h("p", { class: "amount" }, money(item.lineTotal)))));
}

// The cart. The page sends what the reader wants; what the cart is then, the server says.

import { ApiError } from "../api/http.js";
import { session } from "../api/session.js";
import { basket } from "../app/basket.js";
import { confirmed } from "../ui/dialog.js";
import { fill, h } from "../ui/dom.js";
import { counted, money } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { bones, empty, loaded } from "../ui/loading.js";
import { picture } from "../ui/picture.js";
import { QuantityStepper } from "../ui/quantity-stepper.js";
import { toast, wordsOf } from "../ui/words.js";
import { perhaps } from "./perhaps.js";

/** @import { Cart, CartItem } from "../api/types.js" */

/** @type {Record<string, string>} */
const PROBLEMS = {
  CART_ITEM_PROBLEM_GONE: "This is no longer sold. Remove it to order the rest.",
  CART_ITEM_PROBLEM_NO_STOCK: "There are not that many in stock.",
  CART_ITEM_PROBLEM_PRICE_CHANGED: "The price has changed since you added it.",
};
const BLOCKING = new Set(["CART_ITEM_PROBLEM_GONE", "CART_ITEM_PROBLEM_NO_STOCK"]);

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal }) {
  const content = loaded({
    signal,
    fetch: () => basket.refresh(),
    show: (cart) => [new CartView(cart, signal).element],
    skeleton: bones(3, "bone-line"),
  });
  return { title: "Cart", content: [h("div", { class: "page" }, h("h1", {}, "Cart"), content)] };
}

/** The cart as it is shown; lines stay in place while their numbers change. */
class CartView {
  element = h("div");
  #list = h("ul", { class: "lines", "aria-label": "Products in the cart" });
  /** @type {Map<string, CartLine>} by product */
  #lines = new Map();
  #count = h("dt");
  #subtotal = h("dd", { class: "amount" });
  #checkout = h("a", { class: "button primary wide", href: "#/checkout" }, "Checkout");
  #hint = h("p", { class: "aside", role: "status" });
  /** One change after the other, in the order of the clicks. */
  #changes = Promise.resolve();

  /** @param {Cart} cart @param {AbortSignal} signal of the page */
  constructor(cart, signal) {
    this.signal = signal;
    this.#checkout.addEventListener("click", (event) => {
      if (this.#checkout.getAttribute("aria-disabled") === "true") event.preventDefault();
    });
    fill(this.element, h("div", { class: "with-summary" },
      h("div", {}, this.#list, h("p", { class: "under-lines" },
        h("a", { href: "#/products" }, "Continue shopping"),
        h("button", { class: "link", onclick: () => this.#empty() }, "Empty the cart"))),
      this.#summary()));
    this.#show(cart);
  }

  /** @param {Cart} cart */
  #show(cart) {
    const hadFocus = this.element.contains(document.activeElement);
    this.#showLines(cart);
    if (cart.items.length === 0) {
      fill(this.element, empty("cart", "Your cart is empty", "What you add is kept here.",
        h("a", { class: "button primary", href: "#/products" }, "See the products")), perhaps(this.signal));
    }
    this.#count.textContent = counted(basket.count, "piece");
    this.#subtotal.textContent = money(cart.subtotal);
    const isBlocked = cart.items.some((item) => item.problems.some((each) => BLOCKING.has(each)));
    this.#checkout.setAttribute("aria-disabled", String(isBlocked));
    this.#hint.textContent = isBlocked ? "Something in the cart can't be bought as it stands." : "";
    // Focus went with the line that was removed.
    if (hadFocus && !this.element.contains(document.activeElement)) document.querySelector("h1")?.focus();
  }

  /** @param {Cart} cart */
  #showLines(cart) {
    const wanted = new Set(cart.items.map((item) => item.product.id));
    for (const [id, line] of this.#lines) {
      if (wanted.has(id)) continue;
      line.element.remove();
      this.#lines.delete(id);
    }
    for (const item of cart.items) {
      const { id } = item.product;
      const line = this.#lines.get(id) ?? new CartLine(item, (send) => this.#change(id, send));
      if (!this.#lines.has(id)) this.#list.append(line.element);
      this.#lines.set(id, line);
      line.show(item);
    }
  }

  #summary() {
    return h("aside", { class: "card summary", "aria-label": "Summary" },
      h("dl", { class: "sums" },
        h("div", {}, this.#count, h("dd")),
        h("div", { class: "sum" }, h("dt", {}, "Subtotal"), this.#subtotal)),
      this.#checkout, this.#hint,
      !session.current && h("p", { class: "aside" }, "You sign in or sign up at the checkout. The cart stays as it is."));
  }

  async #empty() {
    const isSure = await confirmed("Empty the cart?", "All products in it are removed.", "Empty it");
    if (isSure) this.#change("", () => basket.clear());
  }

  /**
   * @param {string} id of the product that it is about
   * @param {() => Promise<Cart>} send
   */
  #change(id, send) {
    this.#changes = this.#changes.then(async () => {
      try {
        this.#show(await send());
      } catch (error) {
        await this.#refuse(id, error);
      }
    });
  }

  /** @param {string} id @param {unknown} error */
  async #refuse(id, error) {
    const line = this.#lines.get(id);
    if (line) line.refuse(wordsOf(error));
    else toast(wordsOf(error), "problem");
    if (!(error instanceof ApiError) || error.status !== 404) return;
    // Another tab has changed it: what the server has holds.
    const cart = await basket.refresh().catch(() => null);
    if (cart) this.#show(cart);
    toast("The cart has changed meanwhile.", "problem");
  }
}

/** One product in the cart. */
class CartLine {
  #price = h("p", { class: "muted" });
  #problems = h("div");
  #total = h("p", { class: "line-total amount" });
  #stepper;
  #isWaiting = false;
  /** @type {(count: number) => void} */
  #setTo;

  /**
   * @param {CartItem} item
   * @param {(send: () => Promise<Cart>) => void} change
   */
  constructor({ product, quantity }, change) {
    this.#stepper = new QuantityStepper({
      label: `Quantity of ${product.name}`, value: quantity, least: 0,
    });
    this.#stepper.addEventListener("chosen", () => {
      if (this.#isWaiting) return; // what waits will send the newest number
      this.#isWaiting = true;
      change(() => {
        this.#isWaiting = false;
        return basket.setQuantity(product.id, this.#stepper.value);
      });
    });
    const remove = h("button", {
      class: "button plain small", onclick: () => change(() => basket.remove(product.id)),
    }, "Remove", h("span", { class: "unseen" }, ` ${product.name}`));
    this.#setTo = (count) => change(() => basket.setQuantity(product.id, count));
    this.element = h("li", { class: "line" }, picture(product, { isSmall: true }),
      h("div", { class: "line-text" },
        h("p", { class: "category" }, product.category?.name ?? ""),
        h("a", { class: "line-name", href: `#/products/${product.id}` }, product.name),
        this.#price, this.#problems),
      h("div", { class: "line-count" }, this.#stepper, remove), this.#total);
  }

  /** @param {CartItem} item */
  show({ product, quantity, unitPrice, lineTotal, problems }) {
    if (!this.#isWaiting) this.#stepper.value = quantity;
    this.#price.textContent = `${money(unitPrice)} each`;
    this.#total.textContent = money(lineTotal);
    fill(this.#problems, ...problems.map((each) => h("p", { class: "line-problem" },
      icon("alert"), h("span", {}, PROBLEMS[each] ?? "This can't be bought just now.", " ",
        each === "CART_ITEM_PROBLEM_NO_STOCK" && product.stock > 0 && h("button", {
          class: "link", onclick: () => this.#setTo(product.stock),
        }, `Set to ${product.stock}`)))));
  }

  /** @param {string} fault */
  refuse(fault) {
    this.#stepper.refuse(fault);
  }
}

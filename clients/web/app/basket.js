// The cart as the server last told it, for the badge in the header and the cart page.

import { carts } from "../api/lockstep.js";
import { session } from "../api/session.js";

/** @typedef {import("../api/types.js").Cart} Cart */

/** Fires `change`. */
class Basket extends EventTarget {
  /** @type {Cart | null} */
  cart = null;

  start() {
    session.addEventListener("change", () => this.#follow());
    this.#follow();
  }

  get count() {
    return this.cart?.items.length ?? 0;
  }

  /** @param {Cart | null} cart */
  show(cart) {
    this.cart = cart;
    this.dispatchEvent(new Event("change"));
  }

  async refresh() {
    const cart = await carts.mine();
    this.show(cart);
    return cart;
  }

  #follow() {
    const userId = session.current?.userId;
    if (this.cart && this.cart.userId !== userId) this.show(null);
    // Only a badge: who goes to the cart is told what is wrong.
    if (userId) this.refresh().catch(() => undefined);
  }
}

export const basket = new Basket();

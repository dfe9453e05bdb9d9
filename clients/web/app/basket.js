// The cart: that of the account as the server last told it, or that of a guest, which is in the
// browser (ids and quantities, never prices) and goes into the account's at the next sign-in.

import { carts, catalog } from "../api/lockstep.js";
import { kept, session } from "../api/session.js";
import { toast } from "../ui/messages.js";

/** @import { Cart, Picked } from "../api/types.js" */

const KEY = "lockstep.cart";
const LINES = 100;

/** Fires `change`, also for what another tab did. */
class Basket extends EventTarget {
  /** @type {Cart | null} */
  cart = null;
  #tabs = new BroadcastChannel(KEY);
  /** @type {Promise<void>} the cart of a guest is on its way into the account's until then */
  #merged = Promise.resolve();

  start() {
    session.addEventListener("change", () => this.#follow());
    this.#tabs.addEventListener("message", () => this.#lookAgain());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#lookAgain();
    });
    this.#follow();
  }

  /** How many pieces are in it. */
  get count() {
    const lines = session.current ? this.cart?.items ?? [] : guestItems();
    return lines.reduce((sum, { quantity }) => sum + quantity, 0);
  }

  /** @param {string} productId how many of a product are in it */
  quantityOf(productId) {
    if (!session.current) return guestItems().find((each) => each.productId === productId)?.quantity ?? 0;
    return this.cart?.items.find((each) => each.product.id === productId)?.quantity ?? 0;
  }

  /** @param {Cart | null} cart */
  show(cart) {
    this.cart = cart;
    this.dispatchEvent(new Event("change"));
  }

  async refresh() {
    await this.#merged;
    const cart = session.current ? await carts.mine() : await guestCart();
    this.show(cart);
    return cart;
  }

  /** @param {string} productId @param {number} quantity @param {string} key */
  add(productId, quantity, key) {
    return this.#change(() => carts.add(productId, quantity, key),
      () => keep(productId, this.quantityOf(productId) + quantity));
  }

  /** @param {string} productId @param {number} quantity */
  setQuantity(productId, quantity) {
    return this.#change(() => carts.setQuantity(productId, quantity), () => keep(productId, quantity));
  }

  /** @param {string} productId */
  remove(productId) {
    return this.#change(() => carts.remove(productId), () => keep(productId, 0));
  }

  clear() {
    return this.#change(() => carts.clear(), () => localStorage.removeItem(KEY));
  }

  /** Tell the other tabs that it has changed. */
  tell() {
    this.#tabs.postMessage("changed");
  }

  /** @param {() => Promise<Cart>} ofAccount @param {() => void} ofGuest @returns {Promise<Cart>} */
  async #change(ofAccount, ofGuest) {
    await this.#merged;
    if (!session.current) ofGuest();
    const cart = session.current ? await ofAccount() : await guestCart();
    this.show(cart);
    this.tell();
    return cart;
  }

  #lookAgain() {
    if (session.current) this.refresh().catch(() => undefined);
    else this.dispatchEvent(new Event("change"));
  }

  #follow() {
    const userId = session.current?.userId;
    if (this.cart && this.cart.userId !== userId) this.show(null);
    if (!userId) return;
    this.#merged = merge();
    // Only a badge: who goes to the cart is told what is wrong.
    this.refresh().catch(() => undefined);
  }
}

export const basket = new Basket();

/** @returns {Picked[]} */
function guestItems() {
  const found = kept(KEY);
  return Array.isArray(found) ? found.filter(isPicked) : [];
}

/** @param {any} line */
const isPicked = (line) => typeof line?.productId === "string" && Number.isSafeInteger(line.quantity) && line.quantity > 0;

/** @param {string} productId @param {number} quantity 0 removes it */
function keep(productId, quantity) {
  const lines = guestItems();
  const known = lines.find((each) => each.productId === productId);
  if (known) known.quantity = quantity;
  else lines.push({ productId, quantity });
  localStorage.setItem(KEY, JSON.stringify(lines.filter(isPicked).slice(0, LINES)));
}

/** Take the cart of a guest into that of the account; it stays until the server has it. */
async function merge() {
  const items = guestItems();
  if (!items.length) return;
  const merged = await carts.merge(items).catch(() => null);
  if (!merged) return;
  localStorage.removeItem(KEY);
  if (merged.skipped.length) toast("Something in the cart is no longer sold, and was left out.", "problem");
}

/** @returns {Promise<Cart>} the cart of a guest at the prices and stocks of now */
async function guestCart() {
  const picked = guestItems();
  const { products } = picked.length ? await catalog.productsOf(picked.map((each) => each.productId))
    : { products: [] };
  const { linesOf } = await import("./guest-lines.js");
  return linesOf(picked, products);
}

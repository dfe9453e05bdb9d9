// The cart: that of the account as the server last told it, or that of a guest, which is in the
// browser (ids and quantities, never prices) and goes into the account's at the next sign-in.

import { ApiError } from "../api/http.js";
import { carts, catalog } from "../api/lockstep.js";
import { kept, session } from "../api/session.js";
import { counted } from "../ui/format.js";
import { toast } from "../ui/words.js";

/** @import { Cart, Picked } from "../api/types.js" */

const KEY = "lockstep.cart";
// The limits of the server, which a cart in the browser has to keep, too.
const LINES = 100;
const MOST = 9999;

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
    return this.#change(() => this.#addToAccount(productId, quantity, key),
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

  /** @param {string} productId @param {number} quantity @param {string} key */
  async #addToAccount(productId, quantity, key) {
    try {
      return await carts.add(productId, quantity, key);
    } catch (error) {
      const isLimit = error instanceof ApiError && error.reason === "QUANTITY_LIMIT";
      const isNew = this.quantityOf(productId) === 0;
      throw isLimit && isNew && (this.cart?.items.length ?? 0) >= LINES ? refused("CART_FULL") : error;
    }
  }

  /** @param {() => Promise<Cart>} ofAccount @param {() => void} ofGuest @returns {Promise<Cart>} */
  async #change(ofAccount, ofGuest) {
    await this.#merged;
    const cart = session.current ? await ofAccount() : await changedGuestCart(ofGuest);
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

/**
 * Change a line of the cart of a guest, which stays as it is when it would be above a limit.
 *
 * @param {string} productId
 * @param {number} quantity 0 removes it
 * @throws {ApiError}
 */
function keep(productId, quantity) {
  const lines = guestItems();
  const known = lines.find((each) => each.productId === productId);
  if (quantity > MOST) throw refused("QUANTITY_LIMIT");
  if (known) Object.assign(known, { quantity, userId: undefined }); // who picks it here, has it
  else if (quantity && lines.length >= LINES) throw refused("CART_FULL");
  else lines.push({ productId, quantity });
  store(lines.filter(isPicked));
}

/** @param {Picked[]} lines */
function store(lines) {
  if (lines.length) localStorage.setItem(KEY, JSON.stringify(lines));
  else localStorage.removeItem(KEY);
}

/** @param {string} reason as the server would tell it */
const refused = (reason) => new ApiError("above a limit of the cart", { status: 400, reason });

/** Take the cart of a guest into that of the account. What the server has not taken stays here, if there may be room later. */
async function merge() {
  const userId = session.current?.userId;
  // What still waits for another account stays out of this one.
  const all = guestItems().filter((line) => !line.userId || line.userId === userId).map((line) => ({ ...line, userId }));
  store(all);
  const items = all.slice(0, LINES).map(({ productId, quantity }) => ({ productId, quantity }));
  if (!items.length) return;
  const merged = await carts.merge(items).catch(() => null);
  if (!merged) {
    toast("What you picked before is not in the cart yet. Load the page again to add it.", "problem");
    return;
  }
  const waiting = new Set(merged.skipped.filter(({ reason }) => reason === "QUANTITY_LIMIT").map(({ productId }) => productId));
  store(all.filter(({ productId }, place) => place >= LINES || waiting.has(productId)));
  if (waiting.size) {
    toast(`The cart is full. ${counted(waiting.size, "product")} that you picked before will come in when there is room.`, "problem");
  }
  if (merged.skipped.length > waiting.size) toast("Something in the cart is no longer sold, and was left out.", "problem");
}

/**
 * Change the cart of a guest. A change whose outcome cannot be shown is taken back: whoever tries
 * again would have it twice.
 *
 * @param {() => void} change
 */
async function changedGuestCart(change) {
  const before = guestItems();
  change();
  const after = localStorage.getItem(KEY);
  try {
    return await guestCart();
  } catch (error) {
    if (localStorage.getItem(KEY) === after) store(before); // no other tab has changed it since
    throw error;
  }
}

/** @returns {Promise<Cart>} the cart of a guest at the prices and stocks of now */
async function guestCart() {
  const picked = guestItems();
  const { products } = picked.length ? await catalog.productsOf(picked.map((each) => each.productId))
    : { products: [] };
  const { linesOf } = await import("./guest-lines.js");
  return linesOf(picked, products);
}

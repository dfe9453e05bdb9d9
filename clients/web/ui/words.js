// What is said to the reader: short news, notices that stay where they belong, and a text for each
// reason of the API, with the next step. What the API itself says goes to the console (api/http.js).

import { ApiError } from "../api/http.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

const TOAST_MS = 6000;
/** What is said as a page is left has its page by then. */
const FOLLOWS_MS = 1000;
const UNAVAILABLE = "The shop does not answer just now. Nothing was changed. Try again in a moment.";
const CHANGED = "Somebody has changed this since you opened it. Load it again, then make your change.";
const MISSING = "This is gone. Go back, and look at the list again.";
const SIGN_IN = "You are signed out. Sign in again to go on.";
const ODD = "Something went wrong in the shop. Try again later.";

/** @type {Record<string, string>} by the names of error_reason.proto */
const WORDS = {
  // These two are of the client itself.
  CART_FULL: "The cart is full: it holds 100 products. Order them or remove one, then add this.",
  NO_CONNECTION: "The shop can't be reached. Check the connection, then try again.",
  INVALID_FIELD: "Something is not filled in as it must be. Check it, then try again.",
  EMAIL_TAKEN: "This e-mail address has an account already. Sign in, or use another address.",
  PHONE_TAKEN: "This phone number belongs to another account. Use another number.",
  REGISTRATION_IN_PROGRESS: "This address is being registered just now. Try again in a moment.",
  PROFILE_UNAVAILABLE: "A part of the shop does not answer just now, so nothing was changed. Try again in a moment.",
  AUTH_UNAVAILABLE: UNAVAILABLE,
  COMMERCE_UNAVAILABLE: UNAVAILABLE,
  DATABASE_UNAVAILABLE: UNAVAILABLE,
  UPSTREAM_UNAVAILABLE: UNAVAILABLE,
  INVALID_CREDENTIALS: "The e-mail address or the password is wrong. Try again, or set a new password.",
  INVALID_TOKEN: SIGN_IN,
  SESSION_ENDED: SIGN_IN,
  ACCOUNT_DISABLED: "This account is disabled. Ask the shop to enable it.",
  FORBIDDEN: "Your account may not do this. Ask the shop if you think that it should.",
  OTP_INVALID: "The code is wrong. Look at the newest one, then try again.",
  OTP_EXPIRED: "The code is too old. Ask for a new one.",
  OTP_EXHAUSTED: "The code was wrong too often. Ask for a new one.",
  TOO_MANY_REQUESTS: "That was a bit too often.",
  USER_NOT_FOUND: MISSING,
  PROFILE_NOT_FOUND: MISSING,
  BRAND_NOT_FOUND: MISSING,
  WALLET_NOT_FOUND: "There is no wallet for this account. Ask the shop about it.",
  TRANSFER_NOT_FOUND: MISSING,
  CATEGORY_NOT_FOUND: "This category is gone. Choose another one.",
  PRODUCT_NOT_FOUND: "This product is no longer sold. Look for another one.",
  CART_NOT_FOUND: "The cart is empty. Add a product first.",
  CART_ITEM_NOT_FOUND: "This is no longer in the cart.",
  ORDER_NOT_FOUND: "There is no such order. Look at the list of your orders.",
  SAGA_NOT_FOUND: MISSING,
  ROUTE_NOT_FOUND: MISSING,
  CART_EMPTY: "The cart is empty. Perhaps it was ordered already.",
  NO_STOCK: "There are not that many in stock any more. Take fewer.",
  INSUFFICIENT_FUNDS: "The wallet does not hold enough for this, and nothing was charged.",
  ITEM_UNAVAILABLE: "Something in the cart is no longer sold. Remove it to order the rest.",
  PRICE_CHANGED: "The total of the cart has changed, and nothing was charged. Look at the new prices first.",
  ILLEGAL_STATE: "This is not possible any more: something has changed meanwhile. Load the page again.",
  QUANTITY_LIMIT: "That is more than the shop takes at once. Use a smaller number.",
  CHECKOUT_IN_PROGRESS: "Another order of yours is being paid or refunded. Try again in a moment.",
  ETAG_MISMATCH: CHANGED,
  REQUEST_IN_PROGRESS: "The shop is still at it. Try again in a moment; nothing happens twice.",
  SAGA_CANCELLED: "This took too long, and nothing was changed. Try again.",
  IDEMPOTENCY_KEY_REUSED: "Something else was sent before the answer came. Load the page again.",
  USE_PAGE_TOKEN: "The list goes no further. Narrow the search.",
  DEADLINE_EXCEEDED: "This took too long. Try again; nothing happens twice.",
  INTERNAL: ODD,
  LAST_ADMINISTRATOR: "This is the last administrator, so the account stays. Make another one first.",
  CATEGORY_NAME_TAKEN: "Another category has this name. Use another one.",
  METHOD_NOT_FOUND: ODD,
  REAUTHENTICATION_REQUIRED: "Nothing was done: this needs your password.",
  SESSION_NOT_FOUND: "This session has ended already.",
  API_KEY_NOT_FOUND: MISSING,
  REFUND_IN_PROGRESS: "Another refund of this order is on its way. Try again in a moment.",
  MFA_REQUIRED: "Administrators need a second step here. Add one to your account, then sign in again.",
  CURSOR_EXPIRED: ODD,
  BALANCE_LEFT: "There is money in the wallet. Say that you give it up, or spend it first.",
  INVITATION_NOT_FOUND: "There is no such invitation, or it has ended. Ask for a new one.",
  IMAGE_NOT_FOUND: "The picture was replaced. Load the page again.",
  WEBHOOK_NOT_FOUND: MISSING,
  WEBHOOK_DELIVERY_NOT_FOUND: MISSING,
};

/**
 * @param {unknown} error
 * @param {Record<string, string>} [own] texts that say more than those above where they stand
 */
export function wordsOf(error, own = {}) {
  if (!(error instanceof ApiError)) {
    console.error(error);
    return ODD;
  }
  const known = own[error.reason] ?? WORDS[error.reason];
  if (known) return known;
  if (error.status === 413) return "This is too large for the shop. Use something smaller.";
  return error.status === 429 || error.status >= 502 ? UNAVAILABLE : ODD;
}

/**
 * Say something short that needs no answer.
 *
 * @param {string} text
 * @param {"ok" | "problem"} [tone]
 */
export function toast(text, tone = "ok") {
  const element = h("p", { class: `toast toast-${tone}` },
    icon(tone === "ok" ? "check" : "alert"), text);
  document.getElementById("toasts")?.append(element);
  setTimeout(() => element.remove(), TOAST_MS);
  // It is still about the page that follows at once, and not about those where the reader goes then.
  setTimeout(() => addEventListener("hashchange", () => element.remove(), { once: true }), FOLLOWS_MS);
}

/**
 * A notice beside what it is about; read out when it appears. It can count down a wait.
 */
export class NoticeBox extends HTMLElement {
  /** @type {number | undefined} */
  #timer;
  #text = h("p", { role: "alert", class: "notice-text" });
  #clock = h("p", { role: "timer", class: "notice-clock" });

  connectedCallback() {
    if (!this.#text.isConnected) this.append(this.#text, this.#clock);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
  }

  /**
   * Say what went wrong.
   *
   * @param {string} text
   * @param {Node[]} more links and the like
   */
  say(text, ...more) {
    this.clear();
    this.className = "notice";
    fill(this.#text, icon("alert"), h("span", {}, text, " ", ...more));
  }

  clear() {
    clearInterval(this.#timer);
    this.removeAttribute("class");
    fill(this.#text);
    fill(this.#clock);
  }

  /**
   * Show how long to wait, second by second, under what was said.
   *
   * @param {number} seconds
   * @param {() => void} done
   */
  wait(seconds, done) {
    const end = Date.now() + seconds * 1000;
    const tick = () => {
      const left = Math.ceil((end - Date.now()) / 1000);
      if (left > 0) {
        fill(this.#clock, `Please wait ${left} ${left === 1 ? "second" : "seconds"}.`);
        return;
      }
      clearInterval(this.#timer);
      fill(this.#clock, "You can try again now.");
      done();
    };
    clearInterval(this.#timer);
    this.#timer = setInterval(tick, 250);
    tick();
  }
}

customElements.define("notice-box", NoticeBox);

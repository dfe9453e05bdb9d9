// What stands around every page: the header with its navigation.

import { session } from "../api/session.js";
import { fill, h } from "../ui/dom.js";
import { icon } from "../ui/icons.js";
import { basket } from "./basket.js";

/** @typedef {[path: string, label: string, icon: import("../ui/icons.js").IconName]} Entry */

/** @type {Entry} */
const SHOP = ["/products", "Products", "shop"];
/** @type {Entry[]} */
const OF_USERS = [
  ["/cart", "Cart", "cart"],
  ["/orders", "Orders", "orders"],
  ["/wallet", "Wallet", "wallet"],
  ["/profile", "Account", "account"],
];
/** @type {Entry} */
const OF_ADMINS = ["/admin/users", "Admin", "admin"];
/** @type {Entry} */
const OF_BRANDS = ["/sell", "Sell", "plus"];

class SiteHeader extends HTMLElement {
  #path = "";

  connectedCallback() {
    session.addEventListener("change", () => this.#render());
    basket.addEventListener("change", () => this.#render());
    addEventListener("pageshown", (event) => {
      this.#path = /** @type {CustomEvent<string>} */ (event).detail;
      this.#render();
    });
    this.#render();
  }

  #render() {
    const now = session.current;
    const focused = this.contains(document.activeElement)
      ? document.activeElement?.getAttribute("href") : null;
    fill(this,
      h("button", { class: "skip", onclick: skipToContent }, "Skip to content"),
      h("div", { class: "header-bar" },
        h("a", { class: "logo", href: "#/products", "aria-label": "Lockstep, to the products" },
          h("span", { class: "logo-mark" }, icon("logo")), "Lockstep"),
        now && this.#nav(entriesFor(now.role)),
        !now && guestLinks()));
    document.body.classList.toggle("signed-in", now !== null);
    /** @type {HTMLElement | null} */ (focused && this.querySelector(`[href="${focused}"]`))?.focus();
  }

  /** @param {Entry[]} entries */
  #nav(entries) {
    return h("nav", { class: "main-nav", "aria-label": "Main" }, ...entries.map(
      ([path, label, name]) => h("a", {
        href: `#${path}`,
        "aria-current": this.#isUnder(path) ? "page" : null,
      }, h("span", { class: "nav-icon" }, icon(name), path === "/cart" && badge()),
      h("span", {}, label))));
  }

  /** @param {string} path */
  #isUnder(path) {
    const area = path.startsWith("/admin") ? "/admin" : path;
    return this.#path === path || this.#path.startsWith(`${area}/`);
  }
}

customElements.define("site-header", SiteHeader);

/** @param {string} role */
function entriesFor(role) {
  const entries = [SHOP, ...OF_USERS];
  if (role === "admin") entries.push(OF_ADMINS);
  if (role === "brand") entries.splice(1, 0, OF_BRANDS);
  return entries;
}

function badge() {
  const { count } = basket;
  return count > 0 && h("span", { class: "badge" }, String(count),
    h("span", { class: "unseen" }, count === 1 ? " product" : " products"));
}

function guestLinks() {
  return h("nav", { class: "guest-nav", "aria-label": "Main" },
    h("a", { class: "button plain small", href: "#/sign-in" }, "Sign in"),
    h("a", { class: "button primary small", href: "#/sign-up" }, "Sign up"));
}

function skipToContent() {
  const main = document.getElementById("main");
  /** @type {HTMLElement | null} */ (main?.querySelector("h1") ?? main)?.focus();
}

// What stands around every page: the header with search and navigation, the footer, and a word
// when there is no connection.

import { keptVerification, session } from "../api/session.js";
import { fill, h } from "../ui/dom.js";
import { icon } from "../ui/icons.js";
import { basket } from "./basket.js";

/** @typedef {[path: string, label: string, icon: import("../ui/icons.js").IconName]} Entry */

/** @type {Entry} */
const SHOP = ["/products", "Products", "shop"];
/** @type {Entry} */
const CART = ["/cart", "Cart", "cart"];
/** @type {Entry[]} */
const OF_USERS = [
  CART,
  ["/orders", "Orders", "orders"],
  ["/wallet", "Wallet", "wallet"],
  ["/profile", "Account", "account"],
];
/** @type {Entry} */
const OF_ADMINS = ["/admin/orders", "Admin", "admin"];
/** @type {Entry} */
const OF_BRANDS = ["/sell", "Sell", "plus"];

class SiteHeader extends HTMLElement {
  #path = "";
  #nav = h("div", { class: "nav-place" });

  connectedCallback() {
    session.addEventListener("change", () => this.#render());
    basket.addEventListener("change", () => this.#render());
    addEventListener("pageshown", (event) => {
      this.#path = /** @type {CustomEvent<string>} */ (event).detail;
      this.#render();
    });
    fill(this,
      h("button", { class: "skip", onclick: skipToContent }, "Skip to content"),
      h("div", { class: "header-bar" },
        h("a", { class: "logo", href: "#/", "aria-label": "Lockstep, to the start" },
          h("span", { class: "logo-mark" }, icon("logo")), "Lockstep"),
        document.createElement("search-box"), this.#nav),
      offlineNotice());
    this.#render();
  }

  #render() {
    const now = session.current;
    const focused = this.#nav.contains(document.activeElement)
      ? document.activeElement?.getAttribute("href") : null;
    fill(this.#nav, now ? this.#links(entriesFor(now.role), "main-nav") : this.#guestLinks());
    document.body.classList.toggle("signed-in", now !== null);
    /** @type {HTMLElement | null} */ (focused && this.#nav.querySelector(`[href="${focused}"]`))?.focus();
  }

  /** @param {Entry[]} entries @param {string} kind */
  #links(entries, kind) {
    return h("nav", { class: kind, "aria-label": "Main" }, ...entries.map((entry) => this.#link(entry)));
  }

  /** @param {Entry} entry */
  #link([path, label, name]) {
    return h("a", { href: `#${path}`, "aria-current": this.#isUnder(path) ? "page" : null },
      h("span", { class: "nav-icon" }, icon(name), path === "/cart" && badge()), h("span", {}, label));
  }

  #guestLinks() {
    return h("nav", { class: "main-nav guest-nav", "aria-label": "Main" }, this.#link(SHOP), this.#link(CART),
      h("a", { class: "button plain small", href: "#/sign-in" }, "Sign in"),
      h("a", { class: "button primary small", href: "#/sign-up" }, "Sign up"));
  }

  /** @param {string} path */
  #isUnder(path) {
    const area = path.startsWith("/admin") ? "/admin" : path;
    return this.#path === path || this.#path.startsWith(`${area}/`);
  }
}

customElements.define("site-header", SiteHeader);

class SiteFooter extends HTMLElement {
  connectedCallback() {
    fill(this, h("div", { class: "footer-bar" },
      h("p", {}, h("strong", {}, "Lockstep"), " An order is complete, or not there at all."),
      h("nav", { class: "footer-links", "aria-label": "About the shop" },
        h("a", { href: "#/about" }, "About"), h("a", { href: "#/delivery" }, "Delivery and returns"),
        h("a", { href: "#/sign-up" }, "Sell here"), h("a", { href: "/docs" }, "API"))));
  }
}

customElements.define("site-footer", SiteFooter);

/** @param {string} role */
function entriesFor(role) {
  const entries = [SHOP, ...OF_USERS];
  if (role === "admin") entries.push(OF_ADMINS);
  if (role === "brand") entries.splice(1, 0, OF_BRANDS);
  return entries;
}

function badge() {
  const { count } = basket;
  return count > 0 && h("span", { class: "badge" }, count > 99 ? "99+" : String(count),
    h("span", { class: "unseen" }, count === 1 ? " piece" : " pieces"));
}

function offlineNotice() {
  const notice = h("p", { class: "offline", role: "status" });
  const update = () => {
    notice.textContent = navigator.onLine ? "" : "You are offline. What you see may be old; nothing can be bought until the connection is back.";
  };
  addEventListener("online", update);
  addEventListener("offline", update);
  update();
  return notice;
}

/** What reminds somebody of a code that waits to be typed. */
export function verificationBanner() {
  const email = session.current?.email;
  return email && keptVerification(email) && h("p", { class: "banner" },
    "A code was mailed to you. ", h("a", { href: "#/verify" }, "Confirm your e-mail address"), ".");
}

function skipToContent() {
  const main = document.getElementById("main");
  /** @type {HTMLElement | null} */ (main?.querySelector("h1") ?? main)?.focus();
}

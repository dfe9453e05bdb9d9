// The search of the header: words, and what they would find while they are typed.

import { catalog } from "../api/lockstep.js";
import { fill, h, uniqueId } from "./dom.js";
import { money } from "./format.js";
import { icon } from "./icons.js";
import { picture } from "./picture.js";

/** @import { Product } from "../api/types.js" */

const PAUSE_MS = 200;
const SHOWN = 6;
const LETTERS = 2;

export class SearchBox extends HTMLElement {
  #id = uniqueId("found");
  #input = h("input", {
    type: "search", name: "q", maxlength: 200, placeholder: "Search the shop", "aria-label": "Search", autocomplete: "off",
    enterkeyhint: "search", role: "combobox", "aria-expanded": "false", "aria-autocomplete": "list", "aria-controls": this.#id,
    oninput: () => this.#soon(), onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    onblur: () => this.#close(),
  });
  #list = h("ul", { id: this.#id, class: "found", role: "listbox", "aria-label": "Products", hidden: true,
    onmousedown: (/** @type {Event} */ event) => event.preventDefault() }); // the field keeps the focus
  #news = h("p", { class: "unseen", role: "status" });
  /** @type {number | undefined} */
  #pause;
  #asked = new AbortController();
  #active = -1;

  connectedCallback() {
    if (this.childElementCount) return;
    this.append(h("form", { role: "search", "aria-label": "The shop", class: "search", onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#search(this.#input.value.trim());
    } }, icon("search"), this.#input, this.#list, this.#news));
    addEventListener("pageshown", () => this.#follow());
    this.#follow();
  }

  /** Show the words that the page was searched by. */
  #follow() {
    if (document.activeElement === this.#input) return;
    const [path, query] = location.hash.slice(1).split("?");
    this.#input.value = path === "/products" ? new URLSearchParams(query).get("q") ?? "" : "";
  }

  /** @param {string} words */
  #search(words) {
    this.#close();
    const query = new URLSearchParams(location.hash.startsWith("#/products?") ? location.hash.split("?")[1] : "");
    query.delete("q");
    if (words) query.set("q", words);
    location.hash = `/products${query.size ? `?${query}` : ""}`;
  }

  #soon() {
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => void this.#ask(this.#input.value.trim()), PAUSE_MS);
  }

  /** @param {string} words */
  async #ask(words) {
    this.#asked.abort();
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    if (words.length < LETTERS) return this.#close();
    // Suggestions are a help: without them, Enter still searches.
    const found = await catalog.products({ q: words, limit: SHOWN }, signal).catch(() => null);
    if (!found || signal.aborted || document.activeElement !== this.#input) return;
    const { products, suggestions = [] } = found;
    this.#open([...products.map((each) => this.#product(each)), ...suggestions.map((each) => this.#suggestion(each))]);
  }

  /** @param {Product} product */
  #product(product) {
    return this.#option(() => { location.hash = `/products/${product.id}`; }, picture(product, { isSmall: true }),
      h("span", { class: "found-name" }, product.name), h("span", { class: "amount" }, money(product.price)));
  }

  /** @param {string} words */
  #suggestion(words) {
    return this.#option(() => {
      this.#input.value = words;
      this.#search(words);
    }, icon("search"), h("span", { class: "found-name" }, `Did you mean ${words}?`));
  }

  /** @param {() => void} choose @param {Node[]} content */
  #option(choose, ...content) {
    const option = h("li", { role: "option", "aria-selected": "false", onclick: () => {
      this.#close();
      choose();
    } }, ...content);
    option.id = uniqueId("found");
    return option;
  }

  /** @param {HTMLElement[]} options */
  #open(options) {
    this.#active = -1;
    fill(this.#list, ...options);
    this.#show(options.length > 0);
    this.#news.textContent = options.length ? "Suggestions are shown. Use the arrow keys." : "";
  }

  #close() {
    clearTimeout(this.#pause);
    this.#asked.abort();
    this.#active = -1;
    this.#show(false);
  }

  /** @param {boolean} isOpen */
  #show(isOpen) {
    this.#list.hidden = !isOpen;
    this.#input.setAttribute("aria-expanded", String(isOpen));
    this.#input.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (this.#list.hidden) return;
    const options = [...this.#list.children];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      this.#active = (this.#active + step + options.length + (this.#active < 0 && step < 0 ? 1 : 0)) % options.length;
      options.forEach((each, index) => each.setAttribute("aria-selected", String(index === this.#active)));
      this.#input.setAttribute("aria-activedescendant", options[this.#active]?.id ?? "");
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.#close();
    } else if (event.key === "Enter" && this.#active >= 0) {
      event.preventDefault();
      /** @type {HTMLElement | undefined} */ (options[this.#active])?.click();
    }
  }
}

customElements.define("search-box", SearchBox);

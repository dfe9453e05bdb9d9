// A list that loads on, page by page, as the reader comes to its end or asks for more.

import { fill, h } from "./dom.js";
import { counted } from "./format.js";
import { bones, failed, slowly } from "./loading.js";
import { table } from "./table.js";

/**
 * @template T
 * @typedef {{ items: T[], next: string }} Loaded what has come so far, and the token after it
 */
/**
 * @template T
 * @typedef {object} ListOptions
 * @property {(token: string) => Promise<Loaded<T>>} fetch
 * @property {(item: T) => HTMLElement} show
 * @property {() => HTMLElement} empty
 * @property {string} noun in the plural, with an s, such as products
 * @property {AbortSignal} signal of the page
 * @property {string} [kind] a class of the list
 * @property {import("./table.js").Column[]} [columns] of a table, whose rows `show` makes
 * @property {string} [bone] a class of what stands in for an item
 * @property {Map<string, unknown>} [place] where what has come is kept for a return
 */

const STORE = "list";
const AHEAD = "600px";
const BONES = 4;

/** @template T */
export class KeysetList extends HTMLElement {
  /** @type {HTMLElement} */
  #list;
  #end = h("div", { class: "keyset-end" });
  #news = h("p", { class: "unseen", role: "status" });
  #isLoading = false;
  /** @type {Loaded<T>} */
  #loaded = { items: [], next: "" };
  #observer = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && this.#loaded.next) void this.#more();
  }, { rootMargin: AHEAD });

  /** @param {ListOptions<T>} options */
  constructor(options) {
    super();
    this.options = options;
    this.#list = options.columns ? h("tbody", { role: "rowgroup" }) : h("ul", { class: "keyset" });
  }

  connectedCallback() {
    if (this.childElementCount) return;
    if (this.options.kind) this.#list.classList.add(...this.options.kind.split(" "));
    const { columns } = this.options;
    this.append(columns ? table(columns, this.#list) : this.#list, this.#end, this.#news);
    const kept = /** @type {Loaded<T> | undefined} */ (this.options.place?.get(STORE));
    if (kept) this.#append(kept);
    else void this.#more();
    this.#observer.observe(this.#end);
  }

  disconnectedCallback() {
    this.#observer.disconnect();
  }

  async #more({ takesFocus = false } = {}) {
    if (this.#isLoading) return;
    this.#isLoading = true;
    this.#list.setAttribute("aria-busy", "true");
    const { bone = "bone-row", noun, signal } = this.options;
    const skeleton = bones(BONES, bone).map((each) => this.#bone(each));
    this.#list.append(...skeleton);
    this.#end.hidden = true; // else it would be seen jumping to the new end
    const stopWaiting = slowly(this);
    try {
      const page = await this.#fetchSome().finally(() => {
        skeleton.forEach((each) => each.remove());
        stopWaiting();
      });
      if (signal.aborted) return;
      const first = this.#append(page);
      const count = this.#loaded.items.length;
      this.#news.textContent = count ? `${counted(count, noun.slice(0, -1))} shown.` : "";
      if (takesFocus) focusIn(first);
    } catch (error) {
      if (!signal.aborted) fill(this.#end, failed(error, () => void this.#more()));
    } finally {
      this.#isLoading = false;
      this.#end.hidden = false;
      this.#list.removeAttribute("aria-busy");
      if (takesFocus && this.querySelector(".failed")) focusIn(this.#end);
      this.#observe();
    }
  }

  /** A page may be empty though others follow. @returns {Promise<Loaded<T>>} */
  async #fetchSome() {
    let page = await this.options.fetch(this.#loaded.next);
    while (!page.items.length && page.next && !this.options.signal.aborted) page = await this.options.fetch(page.next);
    return page;
  }

  /** @param {Loaded<T>} page @returns {HTMLElement | undefined} the first that was added */
  #append(page) {
    const { columns, show } = this.options;
    const added = page.items.map((item) => (columns ? show(item) : h("li", {}, show(item))));
    this.#list.append(...added);
    this.#loaded = { items: [...this.#loaded.items, ...page.items], next: page.next };
    this.options.place?.set(STORE, this.#loaded);
    if (this.#loaded.items.length === 0) fill(this.#end, this.options.empty());
    else fill(this.#end, page.next && this.#button());
    return added[0];
  }

  /** @param {HTMLElement} each */
  #bone(each) {
    const { columns } = this.options;
    return columns ? h("tr", { "aria-hidden": "true" }, h("td", { colspan: columns.length }, each)) : h("li", { "aria-hidden": "true" }, each);
  }

  #button() {
    return h("button", { class: "button plain", onclick: () => {
      void this.#more({ takesFocus: true });
    } }, `More ${this.options.noun}`);
  }

  /** Look again: the end may still be in sight, which is no change that is told. */
  #observe() {
    this.#observer.unobserve(this.#end);
    if (!this.querySelector(".failed") && this.isConnected) this.#observer.observe(this.#end);
  }
}

customElements.define("keyset-list", KeysetList);

/** @param {Element | undefined} element */
function focusIn(element) {
  /** @type {HTMLElement | null | undefined} */ (element?.querySelector("a, button"))?.focus();
}

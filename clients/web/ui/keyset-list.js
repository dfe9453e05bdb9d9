// A list that loads on, page by page, as the reader comes to its end or asks for more. On a return it
// is there at once as it was, and then shows what has changed since.

import { fill, h } from "./dom.js";
import { counted } from "./format.js";
import { bones, failed, shownAgain, slowly } from "./loading.js";
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
  /** @type {HTMLElement[]} one for each item that has come */
  #rows = [];
  /** Never rejected. */
  #refreshing = Promise.resolve();
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
    if (kept) {
      this.#append(kept);
      this.#refresh();
    } else void this.#more();
    shownAgain(this.options.signal, () => this.#refresh());
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
      await this.#refreshing; // whose last page decides where this one begins
      const page = await this.#fetchSome(this.#loaded.next).finally(() => {
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

  /** A page may be empty though others follow. @param {string} token @returns {Promise<Loaded<T>>} */
  async #fetchSome(token) {
    let page = await this.options.fetch(token);
    while (!page.items.length && page.next && !this.options.signal.aborted) page = await this.options.fetch(page.next);
    return page;
  }

  /** @param {Loaded<T>} page @returns {HTMLElement | undefined} the first that was added */
  #append(page) {
    const added = page.items.map((item) => this.#row(item));
    this.#list.append(...added);
    this.#rows.push(...added);
    this.#keep({ items: [...this.#loaded.items, ...page.items], next: page.next });
    this.#showEnd();
    return added[0];
  }

  /** @param {T} item @returns {HTMLElement} */
  #row(item) {
    const { columns, show } = this.options;
    return columns ? show(item) : h("li", {}, show(item));
  }

  /** @param {Loaded<T>} all */
  #keep(all) {
    this.#loaded = all;
    this.options.place?.set(STORE, all);
  }

  #showEnd() {
    const { items, next } = this.#loaded;
    if (items.length === 0) fill(this.#end, this.options.empty());
    else fill(this.#end, next && this.#button());
  }

  /** Without an answer what is shown stays. */
  #refresh() {
    if (this.#isLoading) return;
    this.#refreshing = this.#refreshing.then(() => this.#again()).then((fresh) => {
      if (!this.options.signal.aborted) this.#replace(fresh);
    }).catch(() => undefined);
  }

  /** As many items as are shown, as they are now. @returns {Promise<Loaded<T>>} */
  async #again() {
    const count = this.#loaded.items.length;
    let all = await this.#fetchSome("");
    while (all.items.length < count && all.next && !this.options.signal.aborted) {
      const page = await this.#fetchSome(all.next);
      all = { items: [...all.items, ...page.items], next: page.next };
    }
    return all;
  }

  /** A row whose item is the same stays in its place; a new one takes over the pictures that are there. @param {Loaded<T>} fresh */
  #replace(fresh) {
    const known = new Map(this.#loaded.items.map((item, index) => [JSON.stringify(item), this.#rows[index]]));
    const focused = this.#rows.findIndex((row) => row.contains(document.activeElement));
    const rows = fresh.items.map((item) => {
      const key = JSON.stringify(item);
      const row = known.get(key) ?? this.#row(item);
      known.delete(key);
      return row;
    });
    const gone = [...known.values()].filter((row) => row !== undefined);
    takePictures(gone, rows.filter((row) => !row.isConnected));
    gone.forEach((row) => row.remove());
    rows.forEach((row, index) => {
      const place = index ? rows[index - 1]?.nextSibling : this.#list.firstChild;
      if (place !== row) this.#list.insertBefore(row, place ?? null);
    });
    const isSameEnd = rows.length > 0 && this.#rows.length > 0 && !fresh.next === !this.#loaded.next;
    this.#rows = rows;
    this.#keep(fresh);
    if (!isSameEnd) this.#showEnd();
    const lostFocus = focused >= 0 && !this.#list.contains(document.activeElement);
    if (lostFocus) focusIn(rows[Math.min(focused, rows.length - 1)]);
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

/** A picture that is loaded anew would be seen to come. @param {HTMLElement[]} from @param {HTMLElement[]} to */
function takePictures(from, to) {
  const there = new Map(from.flatMap((row) => [...row.querySelectorAll("img")].map((image) => [image.src, image])));
  for (const image of to.flatMap((row) => [...row.querySelectorAll("img")])) {
    const same = there.get(image.src);
    if (same) image.replaceWith(same);
    there.delete(image.src);
  }
}

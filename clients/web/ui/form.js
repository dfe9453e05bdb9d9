// A form that checks its fields, sends one request at a time, and puts what comes back
// where it belongs.

import { ApiError, RequestKey } from "../api/http.js";
import { fill, h } from "./dom.js";
import { FormField } from "./field.js";
import { slowly } from "./loading.js";
import { NoticeBox, wordsOf } from "./words.js";

/** @typedef {Record<string, string>} Values */
/**
 * @typedef {object} FormOptions
 * @property {import("./dom.js").Child[]} parts fields, and what stands between them; none where false
 * @property {string} submit the label of the button
 * @property {(values: Values, keyFor: (request: unknown) => string) => Promise<void>} action
 * @property {Record<string, string>} [reasons] field names of error reasons that are about one
 * @property {Record<string, string>} [words] what error reasons mean here, when more can be said
 * @property {Record<string, () => Node[]>} [remedies] links to show with an error reason
 * @property {"primary" | "plain" | "danger"} [tone]
 * @property {Node[]} [beside] what stands beside the button
 */

export class ActionForm extends HTMLElement {
  #key = new RequestKey();
  #isBusy = false;
  #isWaiting = false;
  #notice = new NoticeBox();
  #status = h("span", { class: "unseen", role: "status" });
  #slow = h("div");
  #button;
  #form;

  /** @param {FormOptions} options */
  constructor(options) {
    super();
    this.options = options;
    this.#button = h("button", { class: `button ${options.tone ?? "primary"}` }, options.submit);
    this.#form = h("form", { novalidate: true, onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.#submit();
    } }, ...options.parts, this.#notice, this.#slow,
    h("div", { class: "form-end" }, this.#button, this.#status, ...(options.beside ?? [])));
    for (const field of this.#allFields()) {
      field.form = () => this.values;
      field.addEventListener("checked", () => this.#recheckOthers(field));
    }
  }

  connectedCallback() {
    if (!this.#form.isConnected) this.append(this.#form);
  }

  get notice() {
    return this.#notice;
  }

  /** The fields that are shown. */
  get fields() {
    return this.#allFields().filter((field) => !field.hidden);
  }

  /** What was entered, without the fields that are empty. */
  get values() {
    return Object.fromEntries(this.fields.filter((field) => field.value)
      .map((field) => [field.name, field.value]));
  }

  /** @param {string} name */
  field(name) {
    return this.fields.find((field) => field.name === name);
  }

  /** Empty every field. */
  clear() {
    for (const field of this.#allFields()) field.value = field.options.value ?? "";
    this.#notice.clear();
  }

  #allFields() {
    return [...this.#form.querySelectorAll("form-field")].filter((each) => each instanceof FormField);
  }

  /** @param {FormField} changed */
  #recheckOthers(changed) {
    for (const field of this.fields) if (field !== changed) field.recheck();
  }

  async #submit() {
    if (this.#isBusy || this.#isWaiting) return;
    this.#notice.clear();
    if (!this.#check()) return;
    this.#setBusy(true);
    const stopWaiting = slowly(this.#slow);
    try {
      await this.options.action(this.values, (request) => this.#key.for(request));
      this.#key.settle();
    } catch (error) {
      this.#key.settleUnlessUndecided(error);
      this.#explain(error);
    } finally {
      stopWaiting();
      this.#setBusy(false);
    }
  }

  #check() {
    const wrong = this.fields.filter((field) => !field.check());
    wrong[0]?.control.focus();
    return wrong.length === 0;
  }

  /** @param {unknown} error */
  #explain(error) {
    const known = error instanceof ApiError ? error : null;
    if (known && this.#refuseFields(known)) return;
    const more = this.options.remedies?.[known?.reason ?? ""]?.() ?? [];
    this.#notice.say(wordsOf(error, this.options.words), ...more);
    if (known?.retryAfterSeconds) this.#wait(known.retryAfterSeconds);
  }

  /**
   * Show an error at the fields that it is about, and say whether that told all of it.
   *
   * @param {ApiError} error
   */
  #refuseFields(error) {
    const about = this.field(this.options.reasons?.[error.reason] ?? "");
    about?.refuse(wordsOf(error, this.options.words));
    const homeless = error.violations.filter(({ field, description }) => {
      const home = this.#fieldOf(field);
      home?.refuse(description);
      return !home;
    });
    if (homeless.length) this.#notice.say(wordsOf(error));
    const refused = this.fields.filter((field) => field.control.hasAttribute("aria-invalid"));
    refused[0]?.control.focus();
    return refused.length > 0 || homeless.length > 0;
  }

  /** @param {string} path such as product.price.nanos */
  #fieldOf(path) {
    const parts = path.split(/[.[]/);
    return this.fields.find((field) => parts.includes(field.name));
  }

  /** @param {number} seconds */
  #wait(seconds) {
    this.#isWaiting = true;
    this.#button.setAttribute("aria-disabled", "true");
    this.#notice.wait(seconds, () => {
      this.#isWaiting = false;
      this.#button.removeAttribute("aria-disabled");
    });
  }

  /** @param {boolean} isBusy */
  #setBusy(isBusy) {
    this.#isBusy = isBusy;
    this.#form.setAttribute("aria-busy", String(isBusy));
    this.#button.classList.toggle("busy", isBusy);
    this.#status.textContent = isBusy ? "Working…" : "";
  }
}

customElements.define("action-form", ActionForm);

/** The way from a step of a form to the one before. @param {() => void} goBack */
export const backButton = (goBack) => h("button", { type: "button", class: "button plain", onclick: goBack }, "Back");

/**
 * Put the next form in the place of the one before, ready to be typed into.
 *
 * @param {Element} place
 * @param {ActionForm} form
 */
export function turnTo(place, form) {
  fill(place, form);
  form.querySelector("input")?.focus();
}

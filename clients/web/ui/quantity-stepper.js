// How many: a number with a button on either side.

import { fill, h, uniqueId } from "./dom.js";
import { icon } from "./icons.js";

const MOST = 9999;

/**
 * @typedef {object} StepperOptions
 * @property {string} label
 * @property {number} value
 * @property {number} least
 * @property {number} [most]
 */

/** Fires `chosen` when another valid number was chosen. */
export class QuantityStepper extends HTMLElement {
  #error = h("p", { class: "field-error", id: uniqueId("quantity"), "aria-live": "polite" });
  #input;
  #last;

  /** @param {StepperOptions} options */
  constructor(options) {
    super();
    this.options = options;
    this.#last = options.value;
    this.#input = h("input", {
      type: "text", inputmode: "numeric", "aria-label": options.label, maxlength: 5,
      "aria-describedby": this.#error.id,
      oninput: () => this.#check(),
      onchange: () => this.#choose(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    });
    this.#input.value = String(options.value);
  }

  connectedCallback() {
    if (this.childElementCount) return;
    this.append(h("div", { class: "stepper" },
      this.#button(-1, "minus", "One less"), this.#input, this.#button(1, "plus", "One more")),
    this.#error);
  }

  get value() {
    return this.#last;
  }

  /** @param {number} value as the server has it */
  set value(value) {
    this.#last = value;
    this.#input.value = String(value);
    this.#check();
  }

  /** @param {string} fault */
  refuse(fault) {
    this.#input.setAttribute("aria-invalid", "true");
    fill(this.#error, icon("alert"), fault);
  }

  #check() {
    const { value } = this.#input;
    const { least, most = MOST } = this.options;
    const isRight = /^[0-9]+$/.test(value.trim()) && Number(value) >= least && Number(value) <= most;
    this.#input.setAttribute("aria-invalid", String(!isRight));
    fill(this.#error, !isRight && icon("alert"), !isRight && `A whole number from ${least} to ${most}.`);
    return isRight;
  }

  #choose() {
    if (!this.#check() || Number(this.#input.value) === this.#last) return;
    this.#last = Number(this.#input.value);
    this.dispatchEvent(new Event("chosen"));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    this.#step(step);
  }

  /** @param {number} step */
  #step(step) {
    const from = Number.parseInt(this.#input.value, 10);
    const next = Math.min(this.options.most ?? MOST, Math.max(this.options.least, (from || 0) + step));
    this.#input.value = String(next);
    this.#choose();
  }

  /**
   * @param {number} step
   * @param {import("./icons.js").IconName} name
   * @param {string} text
   */
  #button(step, name, text) {
    return h("button", {
      type: "button", "aria-label": `${text}: ${this.options.label}`, onclick: () => this.#step(step),
    }, icon(name));
  }
}

customElements.define("quantity-stepper", QuantityStepper);

// Codes of six digits: the field for one, and asking for another by mail.

import { ApiError } from "../api/http.js";
import { fill, h } from "./dom.js";
import { FormField } from "./field.js";
import { sixDigits } from "./rules.js";
import { toast, wordsOf } from "./words.js";

/** @param {{ name?: string, label?: string, source?: string }} [of] where the reader finds it */
export function codeField({ name = "otp", label = "Code", source = "mail" } = {}) {
  return new FormField({
    name, label, required: true, rules: [sixDigits(source)], hint: `Six digits from the ${source}`, tidy: tidyCode,
    attributes: { class: "code", autocomplete: "one-time-code", inputmode: "numeric", maxlength: 12 },
  });
}

/** Leave out what people put between the parts of a code. @param {string} text */
export const tidyCode = (text) => text.replace(/[\s-]/g, "");

/** A button that sends another code, and says until when it can't. */
export class ResendButton extends HTMLElement {
  /** @type {number | undefined} */
  #timer;
  #button = h("button", { type: "button", class: "button plain", onclick: () => void this.#resend() });
  #end = 0;

  /**
   * @param {number} waitSeconds
   * @param {() => Promise<number>} send returns how long to wait for the next one
   */
  constructor(waitSeconds, send) {
    super();
    this.send = send;
    this.#end = Date.now() + waitSeconds * 1000;
  }

  connectedCallback() {
    fill(this, this.#button);
    this.#timer = setInterval(() => this.#tick(), 250);
    this.#tick();
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
  }

  get #left() {
    return Math.max(0, Math.ceil((this.#end - Date.now()) / 1000));
  }

  #tick() {
    const left = this.#left;
    this.#button.setAttribute("aria-disabled", String(left > 0));
    const text = left > 0 ? `New code in ${left} s` : "Send a new code";
    if (this.#button.textContent !== text) this.#button.textContent = text;
  }

  async #resend() {
    if (this.#left > 0) return;
    this.#end = Infinity;
    try {
      this.#end = Date.now() + await this.send() * 1000;
      toast("A new code is on its way.");
    } catch (error) {
      const wait = error instanceof ApiError ? error.retryAfterSeconds : 0;
      this.#end = Date.now() + wait * 1000;
      toast(wordsOf(error), "problem");
    }
  }
}

customElements.define("resend-button", ResendButton);

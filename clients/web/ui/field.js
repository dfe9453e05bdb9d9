// One field of a form: label, input, hint and what is wrong with it.

import { fill, h, setAttribute, uniqueId } from "./dom.js";
import { icon } from "./icons.js";
import { PASSWORD_RULES } from "./rules.js";

/** @import { Rule } from "./rules.js" */
/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */
/**
 * @typedef {object} FieldOptions
 * @property {string} name the JSON name of the API's field
 * @property {string} label
 * @property {"text" | "email" | "tel" | "url" | "password" | "textarea" | "select"} [type]
 * @property {boolean} [required]
 * @property {string} [hint]
 * @property {string} [value]
 * @property {Rule[]} [rules]
 * @property {(value: string) => string} [tidy] applied when the field is left
 * @property {[value: string, label: string][]} [options] of a select
 * @property {string[]} [suggestions]
 * @property {boolean} [showsStrength] of a password, rule by rule
 * @property {Record<string, unknown>} [attributes] of the input
 */

/** How long a pause in typing is, after which an unfinished value is called wrong. */
const PAUSE_MS = 600;

export class FormField extends HTMLElement {
  /** @type {() => Record<string, string>} the values of the whole form, for rules */
  form = () => ({});
  #id = uniqueId("field");
  #error = h("p", { class: "field-error", id: `${this.#id}-error`, "aria-live": "polite" });
  /** @type {number | undefined} */
  #pause;
  #wasLeft = false;
  #optional = h("span", { class: "optional" }, "optional");
  /** @type {string | null} what the server found, until the value changes */
  #serverFault = null;

  /** @param {FieldOptions} options */
  constructor(options) {
    super();
    this.options = options;
    this.control = this.#makeControl();
    this.control.addEventListener("input", () => this.#typed());
    this.control.addEventListener("change", () => this.#typed());
    this.control.addEventListener("blur", () => this.#left());
  }

  connectedCallback() {
    if (this.childElementCount) return;
    const { label, required = false, hint, type, showsStrength } = this.options;
    this.append(...[
      h("div", { class: "label-row" }, h("label", { for: this.#id }, label), this.#optional),
      hint && h("p", { class: "field-hint", id: `${this.#id}-hint` }, hint),
      type === "password" ? this.#withToggle() : this.control,
      this.#suggestions(),
      showsStrength && this.#strength(),
      this.#error,
    ].filter((part) => part instanceof Node));
    this.require(required);
  }

  /** @param {boolean} isRequired */
  require(isRequired) {
    this.options = { ...this.options, required: isRequired };
    this.#optional.hidden = isRequired;
    setAttribute(this.control, "aria-required", isRequired ? "true" : null);
  }

  get name() {
    return this.options.name;
  }

  get value() {
    const { value } = this.control;
    return this.options.type === "password" ? value : value.trim();
  }

  set value(value) {
    this.control.value = value;
    this.reset();
  }

  /** Forget that anything was wrong. */
  reset() {
    clearTimeout(this.#pause);
    this.#wasLeft = false;
    this.#serverFault = null;
    this.#show(null);
    this.dispatchEvent(new Event("checked"));
  }

  /** Check the value, show what is wrong with it, and say whether nothing is. */
  check() {
    clearTimeout(this.#pause);
    this.#wasLeft = true;
    this.#show(this.#fault());
    return !this.control.hasAttribute("aria-invalid");
  }

  /** Check again because another field has changed, if this one was judged before. */
  recheck() {
    if (this.#wasLeft && this.value) this.#show(this.#fault());
  }

  /** @param {string} fault as it reads after the label, or a sentence */
  refuse(fault) {
    this.#serverFault = this.#serverFault ? `${this.#serverFault}, ${fault}` : fault;
    this.#wasLeft = true;
    this.#show(this.#serverFault);
  }

  #fault() {
    const { required, rules = [] } = this.options;
    if (!this.value) return required ? "is required" : null;
    if (this.#serverFault) return this.#serverFault;
    const all = this.form();
    for (const rule of rules) {
      const fault = rule(this.value, all);
      if (fault) return fault;
    }
    return null;
  }

  #typed() {
    this.#serverFault = null;
    clearTimeout(this.#pause);
    const fault = this.#fault();
    const isKnown = this.#wasLeft || this.control.hasAttribute("aria-invalid");
    if (!fault || isKnown) this.#show(fault);
    else this.#pause = setTimeout(() => this.check(), PAUSE_MS);
    this.dispatchEvent(new Event("checked"));
  }

  #left() {
    const { tidy } = this.options;
    if (tidy) this.control.value = tidy(this.control.value);
    if (this.control.value || this.#wasLeft) this.check();
  }

  /** @param {string | null} fault */
  #show(fault) {
    setAttribute(this.control, "aria-invalid", fault ? "true" : null);
    fill(this.#error, fault && icon("alert"), fault && sentence(this.options.label, fault));
  }

  #makeControl() {
    const { name, type = "text", value = "", options = [], attributes } = this.options;
    const described = [`${this.#id}-error`];
    if (this.options.hint) described.unshift(`${this.#id}-hint`);
    if (this.options.showsStrength) described.push(`${this.#id}-strength`);
    const common = {
      id: this.#id, name, "aria-describedby": described.join(" "), ...attributes,
    };
    const control = type === "textarea" ? h("textarea", { rows: 3, ...common })
      : type === "select" ? h("select", common, ...options.map(
        ([each, label]) => h("option", { value: each }, label)))
        : h("input", {
          type, list: this.options.suggestions ? `${this.#id}-list` : null, ...common,
        });
    control.value = value;
    return control;
  }

  #withToggle() {
    const toggle = h("button", {
      type: "button", class: "reveal", "aria-pressed": "false", title: "Show what is typed",
      "aria-label": `Show ${this.options.label.toLowerCase()}`,
      onclick: () => {
        const isShown = this.control.getAttribute("type") === "text";
        this.control.setAttribute("type", isShown ? "password" : "text");
        toggle.setAttribute("aria-pressed", String(!isShown));
      },
    }, icon("eye"));
    return h("div", { class: "with-reveal" }, this.control, toggle);
  }

  #suggestions() {
    const { suggestions } = this.options;
    return suggestions && h("datalist", { id: `${this.#id}-list` },
      ...suggestions.map((value) => h("option", { value })));
  }

  #strength() {
    const marks = PASSWORD_RULES.map(([text]) => h("li", {}, text));
    const update = () => PASSWORD_RULES.forEach(([text, holds], index) => {
      const holdsNow = holds(this.control.value);
      const mark = marks[index];
      mark?.classList.toggle("holds", holdsNow);
      if (mark) fill(mark, icon(holdsNow ? "check" : "dot"), text,
        h("span", { class: "unseen" }, holdsNow ? " (done)" : " (missing)"));
    });
    this.addEventListener("checked", update);
    update();
    return h("ul", { class: "strength", id: `${this.#id}-strength` }, ...marks);
  }
}

customElements.define("form-field", FormField);

/**
 * @param {string} label
 * @param {string} fault
 */
function sentence(label, fault) {
  const text = /^(is|must|can)\b/.test(fault) ? `${label} ${fault}` : fault;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

// The fields of a registration, by role; both ways to sign up have them.

import { clientName } from "../api/client-name.js";
import { auth } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { atMost, email, password, phone, sameAs, slug } from "../ui/rules.js";
import { roleName } from "../ui/states.js";
import { toast } from "../ui/words.js";

/** @typedef {"customer" | "creator" | "brand" | "student"} Role */

/** @type {[Role, string][]} with what they are for */
export const ROLES = [
  ["customer", "Buy things"],
  ["creator", "Make content"],
  ["brand", "Sell products"],
  ["student", "Take a course"],
];

/** @type {Record<Role, { must: string[], may: string[] }>} */
const FIELDS = {
  customer: { must: ["fullName", "phoneNumber"], may: ["address"] },
  creator: { must: ["firstName", "lastName"], may: ["phoneNumber", "address"] },
  brand: {
    must: ["firstName", "lastName", "company", "companySize", "userRole"],
    may: ["phoneNumber", "address"],
  },
  student: { must: ["fullName", "course"], may: ["phoneNumber", "address"] },
};
const ALWAYS = ["email", "password", "confirmPassword"];

/** @type {[string, string][]} */
export const COMPANY_SIZES = [
  ["", "Choose…"], ["1-10", "1 to 10 people"], ["11-50", "11 to 50 people"],
  ["51-200", "51 to 200 people"], ["201-1000", "201 to 1,000 people"],
  ["1000+", "More than 1,000 people"],
];
export const POSITIONS = ["marketing-manager", "founder", "sales-manager", "brand-manager", "agency"];

/**
 * Make the parts of a sign-up form: the choice of a role and every field, of which those
 * of the role are shown.
 *
 * @param {{ detailsRequired: boolean }} options without details, a sign-up by code needs
 *   the address and a password only
 */
export function registrationParts({ detailsRequired }) {
  const fields = makeFields();
  const choice = roleChoice((role) => showFieldsOf(role, fields, detailsRequired));
  showFieldsOf("customer", fields, detailsRequired);
  return {
    parts: [choice.element, h("div", { class: "fields" }, ...fields)],
    /** @returns {Role} */
    get role() {
      return choice.role;
    },
  };
}

/**
 * Make the fields of an account whose address and role are known.
 *
 * @param {Role} role
 */
export function accountFields(role) {
  const fields = makeFields().filter(({ name }) => name !== "email");
  showFieldsOf(role, fields, true);
  return [h("div", { class: "fields" }, ...fields)];
}

/**
 * Sign in with what was just registered; where to go then is the router's business.
 *
 * @param {string} address
 * @param {string} secret
 */
export async function signInAfter(address, secret) {
  session.open(await auth.login({ email: address, password: secret, clientName: clientName() }));
  toast("Welcome! Your account is ready.");
}

export const signInLink = () => h("a", { href: "#/sign-in" }, "Sign in instead");

/**
 * @param {Role} role
 * @param {FormField[]} fields
 * @param {boolean} detailsRequired
 */
function showFieldsOf(role, fields, detailsRequired) {
  const { must, may } = FIELDS[role];
  for (const field of fields) {
    const isShown = [...must, ...may, ...ALWAYS].includes(field.name);
    field.hidden = !isShown;
    field.require(ALWAYS.includes(field.name) || (detailsRequired && must.includes(field.name)));
  }
}

/** @param {(role: Role) => void} changed */
function roleChoice(changed) {
  /** @type {Role} */
  let chosen = "customer";
  const radios = ROLES.map(([role, text]) => h("label", { class: "role" },
    h("input", {
      type: "radio", name: "role", value: role, checked: role === chosen,
      onchange: () => {
        chosen = role;
        changed(role);
      },
    }),
    h("span", { class: "role-name" }, roleName(role)), h("span", { class: "role-text" }, text)));
  const element = h("fieldset", { class: "roles" }, h("legend", {}, "I am a"), ...radios);
  return { element, get role() { return chosen; } };
}

function makeFields() {
  return [
    new FormField({
      name: "fullName", label: "Full name", rules: [atMost(100)],
      attributes: { autocomplete: "name" },
    }),
    new FormField({
      name: "firstName", label: "First name", rules: [atMost(100)],
      attributes: { autocomplete: "given-name" },
    }),
    new FormField({
      name: "lastName", label: "Last name", rules: [atMost(100)],
      attributes: { autocomplete: "family-name" },
    }),
    new FormField({
      name: "email", label: "E-mail", type: "email", required: true, rules: [email],
      attributes: { autocomplete: "email", inputmode: "email" },
    }),
    new FormField({
      name: "phoneNumber", label: "Phone number", type: "tel", rules: [phone],
      attributes: { autocomplete: "tel", inputmode: "tel" },
    }),
    new FormField({
      name: "address", label: "Address", rules: [atMost(300)],
      attributes: { autocomplete: "street-address" },
    }),
    new FormField({ name: "company", label: "Company", rules: [atMost(200)],
      attributes: { autocomplete: "organization" } }),
    new FormField({ name: "companySize", label: "Company size", type: "select",
      options: COMPANY_SIZES }),
    new FormField({
      name: "userRole", label: "Your role there", rules: [slug, atMost(50)], tidy: toSlug,
      suggestions: POSITIONS, attributes: { placeholder: "marketing-manager" },
    }),
    new FormField({ name: "course", label: "Course", rules: [atMost(200)] }),
    new FormField({
      name: "password", label: "Password", type: "password", required: true, rules: [password],
      showsStrength: true, attributes: { autocomplete: "new-password" },
    }),
    new FormField({
      name: "confirmPassword", label: "Confirm password", type: "password", required: true,
      rules: [sameAs("password", "the password")], attributes: { autocomplete: "new-password" },
    }),
  ];
}

/** @param {string} text */
export function toSlug(text) {
  return text.trim().toLowerCase().replace(/[\s_]+/g, "-").replace(/-+/g, "-");
}

/**
 * A page with one form in its middle.
 *
 * @param {string} title
 * @param {string} lead
 * @param {...(Node | string)} content
 */
export function narrowPage(title, lead, ...content) {
  const page = h("div", { class: "page narrow" });
  fill(page, h("h1", {}, title), h("p", { class: "lead" }, lead), h("div", { class: "card" }, ...content));
  return page;
}

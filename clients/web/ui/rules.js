// What a field must be: the rules of the server, in its words, checked while typing.
// The server checks again; what it alone can know (taken, too common) it says itself.

import { amountExample, currency } from "./currency.js";

/**
 * Says what is wrong with a value, as it reads after the field's label, or null. Empty
 * values are the business of `required`.
 *
 * @typedef {(value: string, all: Record<string, string>) => string | null} Rule
 */

const LOCAL_PART = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
const DOMAIN = /^([\p{L}\p{N}]([\p{L}\p{M}\p{N}-]*[\p{L}\p{M}\p{N}])?\.)+[\p{L}\p{M}\p{N}-]*[\p{L}\p{M}]$/u;
const PHONE = /^\+?[0-9]{10,15}$/;
const SLUG = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const COUNT = /^[0-9]{1,10}$/;
const INT32_MAX = 2 ** 31 - 1;
const EMAIL_MAX = 254;
const LOCAL_PART_MAX = 64;
const PASSWORD_BYTES_MAX = 72;

/** @type {Rule} */
export function email(value) {
  const at = value.lastIndexOf("@");
  const local = value.slice(0, at);
  const isAddress = at > 0 && value.length <= EMAIL_MAX && local.length <= LOCAL_PART_MAX
    && LOCAL_PART.test(local) && DOMAIN.test(value.slice(at + 1));
  return isAddress ? null : "must be an e-mail address such as alice@example.com";
}

/** @type {Rule} */
export const phone = (value) => (PHONE.test(value.replace(/[ \-()[\]]/g, ""))
  ? null : "must be 10 to 15 digits, optionally after a plus");

/** @type {Rule} */
export const slug = (value) => (SLUG.test(value) ? null : "must be a slug such as marketing-manager");

/** @param {string} source @returns {Rule} */
export const sixDigits = (source) => (value) => (/^[0-9]{6}$/.test(value) ? null : `must be the six digits of the ${source}`);

/** @type {Rule} */
export function amount(value) {
  const { digits } = currency;
  const decimals = digits ? `([.,][0-9]{1,${digits}})?` : "";
  return new RegExp(`^[0-9]{1,10}${decimals}$`).test(value)
    ? null : `must be a plain amount such as ${amountExample("9")}`;
}

/** @type {Rule} */
export const positiveAmount = (value) => amount(value, {})
  ?? (/[1-9]/.test(value) ? null : "must be positive");

/** @type {Rule} */
export const stock = (value) => (COUNT.test(value) && Number(value) <= INT32_MAX
  ? null : "must be a whole number, 0 or more");

/** @type {Rule} */
export function url(value) {
  const isWeb = /^https?:\/\/[^\s/]/i.test(value) && URL.canParse(value);
  return isWeb && !/\s/.test(value) ? null : "must be an http or https URL";
}

/** @param {number} longest @returns {Rule} */
export const atMost = (longest) => (value) => {
  if ([...value.normalize("NFC")].length > longest) return `must be at most ${longest} characters`;
  return /[^\P{Cc}\n\r\t]/u.test(value) ? "must not contain control characters" : null;
};

/** @param {string} other the name of another field @param {string} label @returns {Rule} */
export const sameAs = (other, label) => (value, all) => (value === all[other]
  ? null : `must be the same as ${label}`);

/** @param {string} other @returns {Rule} for a maximum: not below the field named */
export const notBelow = (other) => (value, all) => {
  const least = all[other] ?? "";
  const isBelow = least !== "" && !amount(least, all) && !amount(value, all)
    && Number(value.replace(",", ".")) < Number(least.replace(",", "."));
  return isBelow ? "must not be below the lowest price" : null;
};

/** Each rule of a password: what it asks, and whether a value has it. */
export const PASSWORD_RULES = /** @type {const} */ ([
  ["8 characters at least", (/** @type {string} */ value) => [...value].length >= 8],
  ["A lower-case letter", (/** @type {string} */ value) => /[a-z]/.test(value)],
  ["An upper-case letter", (/** @type {string} */ value) => /[A-Z]/.test(value)],
  ["A digit", (/** @type {string} */ value) => /[0-9]/.test(value)],
  ["Another character", (/** @type {string} */ value) => /[^A-Za-z0-9]/.test(value)],
]);

/** @type {Rule} */
export function password(value, all) {
  if (PASSWORD_RULES.some(([, holds]) => !holds(value))) return "must satisfy every rule below";
  if (new TextEncoder().encode(value).length > PASSWORD_BYTES_MAX) {
    return `must have ${PASSWORD_BYTES_MAX} bytes at most in UTF-8`;
  }
  if (value.includes("\0")) return "must not contain NUL";
  return value.toLowerCase() === all["email"]?.toLowerCase() ? "must not be the e-mail address" : null;
}

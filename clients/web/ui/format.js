// Money, dates and numbers in the reader's own way.

/** @import { Money } from "../api/types.js" */

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const NUMBER = new Intl.NumberFormat();
const NANOS_DIGITS = 9;

/** @param {Money | undefined} amount */
export function money(amount) {
  if (!amount?.currencyCode) return "";
  const format = new Intl.NumberFormat(undefined, {
    style: "currency", currency: amount.currencyCode,
  });
  return format.format(/** @type {Intl.StringNumericLiteral} */ (decimal(amount)));
}

/** @param {Money} amount the same with the sign of a movement */
export function signedMoney(amount, isCredit = true) {
  return `${isCredit ? "+" : "\u2212"}${money(amount)}`;
}

/** @param {string} timestamp */
export const date = (timestamp) => (timestamp ? DATE.format(new Date(timestamp)) : "");

/** @param {string} timestamp */
export const moment = (timestamp) => (timestamp ? MOMENT.format(new Date(timestamp)) : "");

/** @param {number} value */
export const number = (value) => NUMBER.format(value);

/** @param {number} value @param {string} one a noun whose plural ends in s */
export const counted = (value, one) => `${number(value)} ${one}${value === 1 ? "" : "s"}`;

/** @param {string} orderNumber as people read it out: two groups of four */
export const grouped = (orderNumber) => orderNumber.replace(/^(.{4})(.{4})$/, "$1-$2");

/**
 * Read a plain decimal such as 9.99, with a comma too, as Money.
 *
 * @param {string} text that satisfies the rule `amount`
 * @returns {Money}
 */
export function moneyFrom(text) {
  const [units = "0", rest = ""] = text.trim().replace(",", ".").split(".");
  return { currencyCode: "", units: units || "0", nanos: Number(rest.padEnd(NANOS_DIGITS, "0")) };
}

/** @param {Money | undefined} amount as somebody would type it */
export function moneyText(amount) {
  if (!amount) return "";
  const text = decimal(amount);
  return text.replace(/\.?0+$/, "").replace(/(\.\d)$/, "$10");
}

/** @param {Money} amount @param {number} times @returns {Money} */
export function multiplied(amount, times) {
  return fromMinor(amount.currencyCode, minor(amount) * BigInt(times));
}

/** @param {Money | undefined} amount */
export const isZero = (amount) => !amount || minor(amount) === 0n;

/** @param {Money} amount @param {Money} other whether the first is less */
export const isLess = (amount, other) => minor(amount) < minor(other);

/** @param {Money} amount @param {Money} other @returns {Money} */
export function difference(amount, other) {
  return fromMinor(amount.currencyCode, minor(amount) - minor(other));
}

/** @param {Money} amount @param {Money} other @returns {Money} */
export function added(amount, other) {
  return fromMinor(amount.currencyCode || other.currencyCode, minor(amount) + minor(other));
}

/** @param {string} currencyCode @param {bigint} nanos @returns {Money} */
function fromMinor(currencyCode, nanos) {
  const scale = 10n ** BigInt(NANOS_DIGITS);
  return { currencyCode, units: String(nanos / scale), nanos: Number(nanos % scale) };
}

/** @param {Money} amount in billionths */
function minor({ units, nanos }) {
  return BigInt(units) * 10n ** BigInt(NANOS_DIGITS) + BigInt(nanos);
}

/** @param {Money} amount as an exact decimal */
function decimal(amount) {
  const nanos = minor(amount);
  const digits = String(nanos < 0n ? -nanos : nanos).padStart(NANOS_DIGITS + 1, "0");
  const sign = nanos < 0n ? "-" : "";
  return `${sign}${digits.slice(0, -NANOS_DIGITS)}.${digits.slice(-NANOS_DIGITS)}`;
}

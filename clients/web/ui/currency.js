// The one currency of the shop, and how many decimals its amounts have.

import { catalog } from "../api/lockstep.js";

export const currency = { code: "", digits: 2 };

/** @type {Promise<void> | null} */
let asking = null;

/** Ask the shop for its currency, once; until it has answered, two decimals are believed. */
export function loadCurrency() {
  asking ??= catalog.currency().then((found) => {
    currency.code = found.code;
    currency.digits = found.digits ?? 0;
  }).catch(() => { asking = null; });
  return asking;
}

/** @param {string} units @returns an amount with all its decimals, such as 9.99 */
export function amountExample(units) {
  return currency.digits ? `${units}.${"9".repeat(currency.digits)}` : units;
}

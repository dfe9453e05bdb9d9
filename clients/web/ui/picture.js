// The picture of a product or a person; until there is one, and without one, a quiet tile.

import { h } from "./dom.js";

const TINTS = 6;

/** @param {{ id: string, name: string, imageUrl: string }} whose */
export function picture({ id, name, imageUrl }) {
  const initial = [...name.trim()][0]?.toUpperCase() ?? "";
  const tile = h("div", { class: `picture tint-${tintOf(id)}`, "aria-hidden": "true" },
    h("span", {}, initial));
  if (/^https?:\/\//i.test(imageUrl)) {
    tile.append(h("img", {
      src: imageUrl, alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer",
      onerror: (/** @type {Event} */ event) => /** @type {Element} */ (event.target).remove(),
    }));
  }
  return tile;
}

/** @param {string} text */
function tintOf(text) {
  let sum = 0;
  for (const character of text) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 65_521;
  return sum % TINTS;
}

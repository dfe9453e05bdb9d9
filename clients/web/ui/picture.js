// The picture of a product or a person; until there is one, and without one, a quiet tile.

import { h } from "./dom.js";

const TINTS = 6;

const WEB = /^https?:\/\//i;
const UPLOADED = /^\/v1\/images\/[0-9a-f]{64}$/;

/**
 * @param {{ id: string, name: string, imageUrl: string, thumbnailUrl?: string }} whose
 * @param {{ isSmall?: boolean }} [how] small pictures of lists come sooner
 */
export function picture({ id, name, imageUrl, thumbnailUrl }, { isSmall = false } = {}) {
  const url = (isSmall && thumbnailUrl) || imageUrl;
  const initial = [...name.trim()][0]?.toUpperCase() ?? "";
  const tile = h("div", { class: `picture tint-${tintOf(id)}`, "aria-hidden": "true" },
    h("span", {}, initial));
  if (WEB.test(url) || UPLOADED.test(url)) {
    tile.append(h("img", {
      src: url, alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer",
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

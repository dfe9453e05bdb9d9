// The picture of a product or a person; until there is one, and without one, a quiet tile.

import { h } from "./dom.js";
import { drawing } from "./icons.js";

const TINTS = 6;
const SMALL = 400;
const LARGE = 1200;

const WEB = /^https?:\/\//i;
const UPLOADED = /^\/v1\/images\/[0-9a-f]{64}$/;

/**
 * @param {{ id: string, name: string, imageUrl: string, thumbnailUrl?: string, category?: { name: string } }} product
 * @param {{ isSmall?: boolean, isFirst?: boolean }} [how] the first pictures of a page do not wait
 */
export function picture({ id, name, imageUrl, thumbnailUrl, category }, { isSmall = false, isFirst = false } = {}) {
  const url = (isSmall && thumbnailUrl) || imageUrl;
  const tile = h("div", { class: `picture tint-${tintOf(category?.name ?? id)}`, "aria-hidden": "true" },
    drawing(category?.name ?? "", name));
  if (isImage(url)) {
    tile.append(image(url, {
      srcset: !isSmall && thumbnailUrl ? `${thumbnailUrl} ${SMALL}w, ${imageUrl} ${LARGE}w` : null,
      sizes: isSmall ? null : "(min-width: 48rem) 40rem, 100vw",
      loading: isFirst ? "eager" : "lazy",
    }));
  }
  return tile;
}

/** @param {{ id: string, name: string, imageUrl: string }} person */
export function avatar({ id, name, imageUrl }) {
  const initial = [...name.trim()][0]?.toUpperCase() ?? "";
  const tile = h("div", { class: `picture initial tint-${tintOf(id)}`, "aria-hidden": "true" }, h("span", {}, initial));
  if (isImage(imageUrl)) tile.append(image(imageUrl, { loading: "lazy" }));
  return tile;
}

/** Whether it is of the shop's own host. @param {string} url */
export const isUploaded = (url) => UPLOADED.test(url);

/** @param {string} url */
const isImage = (url) => WEB.test(url) || isUploaded(url);

/** Seen only once it has come: until then, and if it never does, the tile is. @param {string} url @param {Record<string, unknown>} attributes */
function image(url, attributes) {
  return h("img", {
    ...attributes, src: url, alt: "", width: SMALL, height: SMALL, decoding: "async", referrerpolicy: "no-referrer",
    onload: (/** @type {Event} */ event) => /** @type {Element} */ (event.target).classList.add("shown"),
    onerror: (/** @type {Event} */ event) => /** @type {Element} */ (event.target).remove(),
  });
}

/** @param {string} text */
function tintOf(text) {
  let sum = 0;
  for (const character of text) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 65_521;
  return sum % TINTS;
}

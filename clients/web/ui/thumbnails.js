// Small pictures of products that are known by their ids alone, such as those of orders. All that
// a page needs in one turn come with one request.

import { catalog } from "../api/lockstep.js";
import { fill, h } from "./dom.js";
import { picture } from "./picture.js";

const AT_ONCE = 100;

/** @typedef {import("../api/types.js").Product} Product */
/** @type {Map<string, Product>} */
const known = new Map();
/** @type {Map<string, ((product: Product) => void)[]>} by id, for the next request */
let wanted = new Map();

/**
 * @param {{ productId: string, name: string }} item
 * @returns a tile, which gets its picture as soon as the catalog has told it
 */
export function thumbnail({ productId, name }) {
  const place = h("div", { class: "thumbnail" });
  /** @param {Product} product */
  const show = (product) => fill(place, picture(product, { isSmall: true }));
  const product = known.get(productId);
  if (product) show(product);
  else {
    fill(place, picture({ id: productId, name, imageUrl: "" }, { isSmall: true }));
    want(productId, show);
  }
  return place;
}

/** @param {string} id @param {(product: Product) => void} show */
function want(id, show) {
  if (wanted.size === 0) queueMicrotask(() => void ask());
  wanted.set(id, [...(wanted.get(id) ?? []), show]);
}

async function ask() {
  const asked = wanted;
  wanted = new Map();
  const ids = [...asked.keys()];
  for (let from = 0; from < ids.length; from += AT_ONCE) {
    // A picture is no reason to complain: the tile stays.
    const found = await catalog.productsOf(ids.slice(from, from + AT_ONCE)).catch(() => null);
    for (const product of found?.products ?? []) {
      known.set(product.id, product);
      asked.get(product.id)?.forEach((show) => show(product));
    }
  }
}

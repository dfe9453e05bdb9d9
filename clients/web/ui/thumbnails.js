// Small pictures of products that are known by their ids alone, such as those of orders.

import { fill, h } from "./dom.js";
import { products } from "./look-up.js";
import { picture } from "./picture.js";

/**
 * @param {{ productId: string, name: string }} item
 * @returns a tile, which gets its picture as soon as the catalog has told it
 */
export function thumbnail({ productId, name }) {
  const place = h("div", { class: "thumbnail" }, picture({ id: productId, name, imageUrl: "" }, { isSmall: true }));
  products.want(productId, (product) => fill(place, picture(product, { isSmall: true })));
  return place;
}

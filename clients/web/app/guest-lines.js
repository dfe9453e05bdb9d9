// The cart of a guest, told as the server would tell that of an account.

import { added, multiplied } from "../ui/format.js";

/** @import { Cart, CartItem, Money, Picked, Product } from "../api/types.js" */

/** @type {Money} */
const NOTHING = { currencyCode: "", units: "0", nanos: 0 };

/** @param {Picked[]} picked @param {Product[]} products @returns {Cart} */
export function linesOf(picked, products) {
  const items = picked.map((each) => line(each, products.find(({ id }) => id === each.productId)));
  const subtotal = items.filter((item) => !item.problems.length)
    .reduce((sum, { lineTotal }) => added(sum, lineTotal), NOTHING);
  return { userId: "", items, subtotal, etag: "" };
}

/** @param {Picked} picked @param {Product | undefined} product @returns {CartItem} */
function line({ productId, quantity }, product) {
  if (!product) {
    const gone = { id: productId, name: "A product that is gone", description: "", imageUrl: "", categoryId: "",
      price: NOTHING, stock: 0, createTime: "", updateTime: "", etag: "" };
    return { product: gone, quantity, unitPrice: NOTHING, lineTotal: NOTHING, problems: ["CART_ITEM_PROBLEM_GONE"] };
  }
  const problems = product.stock < quantity ? ["CART_ITEM_PROBLEM_NO_STOCK"] : [];
  return { product, quantity, unitPrice: product.price, lineTotal: multiplied(product.price, quantity), problems };
}

// What the shop says about itself: who it is, and how delivery and returns work.

import { h } from "../ui/dom.js";

/** @param {string} title @param {[string, string][]} parts */
function article(title, parts) {
  return { title, content: [h("div", { class: "page medium prose" }, h("h1", {}, title),
    ...parts.flatMap(([heading, text]) => [h("h2", {}, heading), h("p", {}, text)]))] };
}

/** @type {import("../app/router.js").Page} */
export const page = () => article("About this shop", [
  ["What you find here", "Things for the house, the table and the road, from the makers themselves. Every brand can sell here; each product page names its seller."],
  ["How you pay", "From a wallet. The shop adds money to it when you ask, and refunds go back to it at once. A payment and its order belong together: either both are there, or nothing was charged."],
  ["How you sell", "Sign up as a brand and add your products. You see each sale, ship it, and have your share as soon as it is on its way."],
]);

/** @type {import("../app/router.js").Page} */
export const delivery = () => article("Delivery and returns", [
  ["Delivery", "Delivery is free. Each seller ships their own part of an order, so it may come in several parcels. The order's page shows each of them, with its tracking number."],
  ["Cancelling", "You can cancel an order, or some of it, until it is shipped. The money is back in your wallet at once."],
  ["Returns", "Send back what you do not like to its seller. When it has arrived, the seller refunds it, one piece or all of them, and the money is in your wallet."],
  ["Receipts", "The page of an order prints as its receipt."],
]);

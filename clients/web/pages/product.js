// One product, and putting it into the cart.

import { ApiError, RequestKey } from "../api/http.js";
import { catalog } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { basket } from "../app/basket.js";
import { cameFrom } from "../app/router.js";
import { ask } from "../ui/dialog.js";
import { fill, h } from "../ui/dom.js";
import { money } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { bones, Kept, loaded } from "../ui/loading.js";
import { brandNames } from "../ui/look-up.js";
import { isUploaded, picture } from "../ui/picture.js";
import { shelf, stockText } from "../ui/product-card.js";
import { QuantityStepper } from "../ui/quantity-stepper.js";
import { NoticeBox, toast, wordsOf } from "../ui/words.js";

/** @import { Product } from "../api/types.js" */

const MORE = 4;

/** @param {import("../app/router.js").Visit} visit */
export function page({ params, signal, place }) {
  const trail = h("ol", {}, ...steps());
  /** @type {Kept<Product>} */
  const kept = new Kept(place);
  const content = loaded({
    signal, kept,
    fetch: () => catalog.product(params["id"] ?? "", signal),
    show: (product) => {
      document.title = `${product.name} · Lockstep`;
      fill(trail, ...steps(product));
      return [details(product), ...shelves(product, signal, place)];
    },
    skeleton: bones(1, "bone-product"),
  });
  const breadcrumb = h("nav", { class: "breadcrumb", "aria-label": "Breadcrumb" }, trail);
  return { title: kept.value?.name ?? "Product", content: [h("div", { class: "page" }, breadcrumb, content)] };
}

/** Where the product stands in the shop. @param {Product} [product] as soon as it has come */
function steps(product) {
  const category = product?.category;
  return [
    h("li", {}, h("a", { href: "#/products", onclick: goBack }, "Products")),
    category && h("li", {}, h("a", { href: `#/products?category=${category.id}` }, category.name)),
    product && h("li", { class: "clip", "aria-current": "page" }, product.name),
  ];
}

/** Back in the history is back to the place in the list. @param {Event} event */
function goBack(event) {
  if (!cameFrom("/products")) return;
  event.preventDefault();
  history.back();
}

/** @param {Product} product */
function details(product) {
  return h("div", { class: "product" }, enlarging(product),
    h("div", { class: "product-side" },
      h("h1", { tabindex: "-1" }, product.name), sellerLine(product),
      h("p", { class: "price price-large" }, money(product.price)),
      stockLine(product.stock), purchase(product), delivery(product),
      product.description && h("p", { class: "description" }, product.description),
      ownerLinks(product)));
}

/** A picture of another host may be held back by the browser, so it is not enlarged. @param {Product} product */
function enlarging(product) {
  const seen = picture(product, { isFirst: true });
  if (!isUploaded(product.imageUrl)) return seen;
  return h("button", { type: "button", class: "enlarge", "aria-label": "Enlarge the picture", "aria-haspopup": "dialog",
    onclick: () => enlarge(product) }, seen, h("span", { class: "enlarge-sign", "aria-hidden": "true" }, icon("enlarge")));
}

/** The whole picture, under its name and as large as the window; a click on it closes it. @param {Product} product */
function enlarge({ name, imageUrl }) {
  void ask(name, (close) => [h("img", { class: "large-picture", src: imageUrl, alt: "", onclick: () => close() })], "with-picture");
}

/** Who sells it, with the way to all that they sell. @param {Product} product */
function sellerLine({ sellerId }) {
  if (!sellerId) return h("p", { class: "muted" }, "Sold by Lockstep");
  const name = h("a", { href: `#/products?seller=${sellerId}` }, "one of our brands");
  brandNames.want(sellerId, (found) => { name.textContent = found; });
  return h("p", { class: "muted" }, "Sold by ", name);
}

/** What happens after the order: who sends it, where that is seen, and the way back. @param {Product} product */
function delivery({ sellerId }) {
  return h("section", { class: "facts", "aria-label": "Delivery and returns" },
    fact("truck", "Free delivery", `${sellerId ? "Its seller" : "The shop"} ships it. As soon as it is on its way, the page of your order shows the parcel.`),
    fact("undo", "Cancel or return", "Cancel until it is shipped. After that, send it back to its seller, who refunds it. ",
      h("a", { href: "#/delivery" }, "Delivery and returns")));
}

/** @param {import("../ui/icons.js").IconName} name @param {string} title @param {...import("../ui/dom.js").Child} text */
const fact = (name, title, ...text) => h("div", { class: "fact" }, icon(name),
  h("div", {}, h("h2", {}, title), h("p", { class: "muted" }, ...text)));

/** @param {Product} product */
function ownerLinks({ id, sellerId }) {
  if (session.isAdmin) {
    return h("p", {}, h("a", { href: `#/admin/catalog/${id}` }, "Edit this product"), " · ",
      h("a", { href: `#/admin/orders?product=${id}` }, "Its orders"));
  }
  const isMine = sellerId && sellerId === session.current?.userId;
  return isMine && h("p", {}, h("a", { href: `#/sell/products/${id}` }, "Edit this product"));
}

/** More of its seller, then of its category what the first shelf does not show. @param {Product} product @param {AbortSignal} signal @param {Map<string, unknown>} place */
function shelves({ id, sellerId, category }, signal, place) {
  const bySeller = { seller: sellerId ?? "" };
  const inCategory = { category: category?.id ?? "" };
  /** @type {Promise<Product[]>} what the first shelf shows */
  let first = Promise.resolve([]);
  /** @param {Record<string, string>} filter @returns {Promise<Product[]>} enough for a shelf that leaves out what the other one shows */
  const find = async (filter) => (await catalog.products({ ...filter, minStock: 1, limit: 2 * MORE + 1 }, signal)).products
    .filter((each) => each.id !== id);
  const ofSeller = () => {
    first = find(bySeller).then((found) => found.slice(0, MORE));
    return first;
  };
  const others = async () => {
    const [found, shown] = await Promise.all([find(inCategory), first.catch(() => [])]);
    const seen = new Set(shown.map((each) => each.id));
    return found.filter((each) => !seen.has(each.id)).slice(0, MORE);
  };
  return [
    Boolean(sellerId) && shelf("More from this seller", allOf(bySeller), ofSeller, { signal, place }),
    Boolean(category) && shelf(`More in ${category?.name}`, allOf(inCategory), others, { signal, place }),
  ];
}

/** The address of all that a shelf shows some of. @param {Record<string, string>} filter */
const allOf = (filter) => `#/products?${new URLSearchParams(filter)}`;

/** @param {number} stock */
function stockLine(stock) {
  const text = stockText(stock) || "In stock";
  return h("p", {}, h("span", { class: `tag tag-${text === "In stock" ? "ok" : "warn"}` }, text));
}

/** @param {Product} product */
function purchase(product) {
  const key = new RequestKey();
  const notice = new NoticeBox();
  const stepper = new QuantityStepper({ label: `Quantity of ${product.name}`, value: 1, least: 1,
    most: Math.max(1, Math.min(9999, product.stock)) });
  let isBusy = false;
  const add = async () => {
    if (isBusy || button.getAttribute("aria-disabled") === "true") return;
    isBusy = true;
    button.classList.add("busy");
    notice.clear();
    try {
      await basket.add(product.id, stepper.value, key.for([product.id, stepper.value]));
      key.settle();
      toast(`${product.name} is in the cart.`);
      tellQuantity();
    } catch (error) {
      key.settleUnlessUndecided(error);
      refuse(error);
    }
    isBusy = false;
    button.classList.remove("busy");
  };
  /** @param {unknown} error */
  const refuse = (error) => {
    notice.say(wordsOf(error));
    if (!(error instanceof ApiError) || !error.retryAfterSeconds) return;
    button.setAttribute("aria-disabled", "true");
    notice.wait(error.retryAfterSeconds, () => button.removeAttribute("aria-disabled"));
  };
  const button = h("button", { class: "button primary", onclick: add }, "Add to cart");
  const more = h("p", { class: "aside in-cart" });
  const tellQuantity = () => {
    const count = basket.quantityOf(product.id);
    fill(more, count > 0 && h("a", { class: "button plain wide", href: "#/cart", "aria-label": "Go to the cart" }, `In the cart: ${count} · Open it`));
  };
  tellQuantity();
  if (product.stock === 0) return h("p", { class: "muted" }, "It may come back. Look below for others like it.");
  return h("div", { class: "purchase" }, stepper, button, notice, more);
}

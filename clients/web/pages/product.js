// One product, and putting it into the cart.

import { RequestKey } from "../api/client.js";
import { carts, catalog } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { basket } from "../app/basket.js";
import { cameFrom, go } from "../app/router.js";
import { fill, h } from "../ui/dom.js";
import { money } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { bones, loaded } from "../ui/loading.js";
import { NoticeBox, textOf, toast } from "../ui/messages.js";
import { picture } from "../ui/picture.js";
import { QuantityStepper } from "../ui/quantity-stepper.js";
import { ApiError } from "../api/http.js";

/** @import { Product } from "../api/types.js" */

/** @param {import("../app/router.js").Visit} visit */
export function page({ params, signal }) {
  const heading = h("h1", {}, "Product");
  const content = loaded({
    signal,
    fetch: () => catalog.product(params["id"] ?? "", signal),
    show: (product) => {
      heading.textContent = product.name;
      document.title = `${product.name} · Lockstep`;
      return [details(product)];
    },
    skeleton: bones(1, "bone-product"),
  });
  const back = h("a", { class: "back", href: "#/products", onclick: goBack }, icon("back"), "All products");
  return { title: "Product", content: [h("div", { class: "page" }, back, heading, content)] };
}

/** Back in the history is back to the place in the list. @param {Event} event */
function goBack(event) {
  if (!cameFrom("/products")) return;
  event.preventDefault();
  history.back();
}

/** @param {Product} product */
function details(product) {
  return h("div", { class: "product" }, picture(product),
    h("div", { class: "product-side" },
      h("p", { class: "category" }, product.category?.name ?? ""),
      h("p", { class: "price price-large" }, money(product.price)),
      h("p", { class: "description" }, product.description),
      stockLine(product.stock), purchase(product)));
}

/** @param {number} stock */
function stockLine(stock) {
  if (stock === 0) return h("p", {}, h("span", { class: "tag tag-warn" }, "Sold out"));
  if (stock < 10) return h("p", {}, h("span", { class: "tag tag-warn" }, `Only ${stock} left`));
  return h("p", {}, h("span", { class: "tag tag-ok" }, "In stock"));
}

/** @param {Product} product */
function purchase(product) {
  const key = new RequestKey();
  const notice = new NoticeBox();
  const stepper = new QuantityStepper({ label: `Quantity of ${product.name}`, value: 1, least: 1 });
  let isBusy = false;
  const add = async () => {
    if (isBusy || button.getAttribute("aria-disabled") === "true") return;
    if (!session.current) return go(`/sign-in?to=${encodeURIComponent(`/products/${product.id}`)}`);
    isBusy = true;
    button.classList.add("busy");
    notice.clear();
    try {
      const request = [product.id, stepper.value];
      basket.show(await carts.add(product.id, stepper.value, key.for(request)));
      key.settle();
      toast(`${product.name} is in the cart.`);
      fill(more, h("a", { href: "#/cart" }, "Go to the cart"));
    } catch (error) {
      key.settleUnlessUndecided(error);
      refuse(error);
    }
    isBusy = false;
    button.classList.remove("busy");
  };
  /** @param {unknown} error */
  const refuse = (error) => {
    notice.say(textOf(error));
    if (!(error instanceof ApiError) || !error.retryAfterSeconds) return;
    button.setAttribute("aria-disabled", "true");
    notice.wait(error.retryAfterSeconds, () => button.removeAttribute("aria-disabled"));
  };
  const button = h("button", { class: "button primary", onclick: add }, "Add to cart");
  const more = h("p", { class: "aside" });
  if (product.stock === 0) return more;
  return h("div", { class: "purchase" }, stepper, button, notice, more);
}

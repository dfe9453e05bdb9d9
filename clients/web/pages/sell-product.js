// A product as its seller, or an administrator, makes and changes it.

import { catalog } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { go } from "../app/router.js";
import { actionButton } from "../ui/action-button.js";
import { amountExample, currency, loadCurrency } from "../ui/currency.js";
import { confirmed } from "../ui/dialog.js";
import { h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm } from "../ui/form.js";
import { moneyFrom, moneyText } from "../ui/format.js";
import { icon } from "../ui/icons.js";
import { ImageField } from "../ui/image-field.js";
import { bones, loaded, lost } from "../ui/loading.js";
import { amount, atMost, stock } from "../ui/rules.js";
import { toast } from "../ui/words.js";
import { reloadLink } from "./reload-link.js";

/** @import { Category, Product } from "../api/types.js" */
/** @typedef {Record<string, string>} Values */

/** @param {import("../app/router.js").Visit} visit */
export function page({ params, signal }) {
  const base = session.isAdmin ? "/admin/catalog" : "/sell";
  const { id } = params;
  const content = loaded({
    signal,
    fetch: () => Promise.all([catalog.categories(signal), id ? catalog.product(id, signal) : null, loadCurrency()]),
    show: ([categories, product]) => {
      const isForeign = product && !session.isAdmin && product.sellerId !== session.current?.userId;
      return [isForeign ? lost() : editor(categories, product, base)];
    },
    skeleton: bones(1, "bone-product"),
  });
  const title = id ? "Edit product" : "New product";
  const back = h("a", { class: "back", href: `#${base}` }, icon("back"), "All products");
  return { title, content: [h("div", { class: "page" }, back, h("h1", {}, title), content)] };
}

/** @param {Category[]} categories @param {Product | null} product @param {string} base */
function editor(categories, product, base) {
  let kept = product;
  const image = new ImageField(product ?? { id: "", name: "", imageUrl: "" });
  const fields = makeFields(categories, product);
  const unsaved = h("p", { class: "unsaved", role: "status" });
  const form = new ActionForm({
    parts: [h("div", { class: "editor" }, h("div", { class: "card" }, ...fields.slice(0, 2), image),
      h("div", { class: "card" }, ...fields.slice(2))), unsaved],
    submit: product ? "Save" : "Create the product",
    reasons: { CATEGORY_NOT_FOUND: "categoryId" },
    remedies: { ETAG_MISMATCH: () => [reloadLink()] },
    beside: product ? [remove(product, base), view(product)] : [],
    async action(values, keyFor) {
      kept = await save(kept, values, keyFor);
      if (image.image) kept = await catalog.setImage(kept.id, image.image);
      image.image = null;
      unsaved.textContent = "";
      toast(product ? "Saved." : `The product ${kept.name} is made.`);
      if (!product) go(base === "/sell" ? `/sell/products/${kept.id}` : `${base}/${kept.id}`, { replace: true });
    },
  });
  form.addEventListener("input", () => { unsaved.textContent = "There are changes that are not saved."; });
  return form;
}

/** @param {Product | null} kept @param {Values} values @param {(request: unknown) => string} keyFor */
async function save(kept, values, keyFor) {
  const wanted = { name: values["name"] ?? "", description: values["description"] ?? "", categoryId: values["categoryId"] ?? "",
    price: moneyFrom(values["price"] ?? ""), stock: Number(values["stock"]) };
  if (!kept) return catalog.createProduct(wanted, keyFor(wanted));
  // Only what was changed here: what was sold meanwhile is no change of ours.
  const { price, stock: count, ...texts } = wanted;
  /** @type {Record<string, unknown>} */
  const changes = Object.fromEntries(Object.entries(texts).filter(([name, value]) => value !== kept[/** @type {"name"} */ (name)]));
  if (price.units !== kept.price.units || price.nanos !== kept.price.nanos) changes["price"] = price;
  if (count !== kept.stock) changes["stock"] = count;
  return Object.keys(changes).length ? catalog.updateProduct(kept.id, { ...changes, etag: kept.etag }) : kept;
}

/** @param {Category[]} categories @param {Product | null} product */
function makeFields(categories, product) {
  return [
    new FormField({ name: "name", label: "Name", required: true, rules: [atMost(200)], value: product?.name ?? "" }),
    new FormField({ name: "description", label: "Description", type: "textarea", rules: [atMost(5000)],
      value: product?.description ?? "", attributes: { rows: 6 } }),
    new FormField({ name: "price", label: `Price${currency.code && ` in ${currency.code}`}`, required: true, rules: [amount],
      value: moneyText(product?.price), attributes: { inputmode: "decimal", placeholder: amountExample("9") } }),
    new FormField({ name: "stock", label: "In stock", required: true, rules: [stock], value: String(product?.stock ?? 1),
      attributes: { inputmode: "numeric" } }),
    new FormField({ name: "categoryId", label: "Category", type: "select", required: true, value: product?.categoryId ?? "",
      options: [["", "Choose…"], ...categories.map(({ id, name }) => /** @type {[string, string]} */ ([id, name]))] }),
  ];
}

/** @param {Product} product */
const view = ({ id }) => h("a", { class: "button plain", href: `#/products/${id}` }, "See it in the shop");

/** @param {Product} product @param {string} base */
function remove(product, base) {
  return actionButton({ class: "button danger" }, async () => {
    const isSure = await confirmed(`Remove ${product.name}?`,
      "It leaves the shop at once. Orders that have it stay as they are.", "Remove it");
    if (!isSure) return;
    await catalog.deleteProduct(product.id);
    toast(`${product.name} is removed.`);
    go(base);
  }, "Remove");
}

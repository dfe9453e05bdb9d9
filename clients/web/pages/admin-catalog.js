// Making categories (administrators) and products (administrators and brands).

import { catalog } from "../api/lockstep.js";
import { session } from "../api/session.js";
import { fill, h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm } from "../ui/form.js";
import { moneyFrom } from "../ui/format.js";
import { bones, loaded } from "../ui/loading.js";
import { toast } from "../ui/messages.js";
import { amount, atMost, stock, url } from "../ui/rules.js";
import { adminTabs } from "./admin-tabs.js";

/** @typedef {import("../api/types.js").Category} Category */
/** @typedef {Record<string, string>} Values */

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal }) {
  const title = session.isAdmin ? "Catalog" : "Sell";
  const content = loaded({
    signal,
    fetch: () => catalog.categories(signal),
    show: ({ categories }) => [sections(categories)],
    skeleton: bones(1, "bone-product"),
  });
  return {
    title,
    content: [h("div", { class: "page" }, h("h1", {}, title), session.isAdmin && adminTabs("catalog"), content)],
  };
}

/** @param {Category[]} categories */
function sections(categories) {
  const select = new FormField({ name: "categoryId", label: "Category", type: "select", required: true,
    options: [["", "Choose…"], ...categories.map(option)] });
  const names = h("ul", { class: "tags", "aria-label": "Categories" }, ...categories.map(tag));
  /** @param {Category} category */
  const add = (category) => {
    select.control.append(h("option", { value: category.id }, category.name));
    names.append(tag(category));
  };
  return h("div", { class: "sections" },
    session.isAdmin && h("section", { class: "card" }, h("h2", {}, "New category"), categoryForm(add), names),
    h("section", { class: "card" }, h("h2", {}, "New product"), productForm(select)));
}

/** @param {Category} category @returns {[string, string]} */
const option = ({ id, name }) => [id, name];

/** @param {Category} category */
const tag = ({ name }) => h("li", { class: "tag tag-plain" }, name);

/** @param {(category: Category) => void} added */
function categoryForm(added) {
  const form = new ActionForm({
    parts: [
      new FormField({ name: "name", label: "Name", required: true, rules: [atMost(100)] }),
      new FormField({ name: "description", label: "Description", type: "textarea", rules: [atMost(5000)] }),
    ],
    submit: "Create the category",
    reasons: { CATEGORY_NAME_TAKEN: "name" },
    async action(values, keyFor) {
      const category = await catalog.createCategory(values, keyFor(values));
      form.clear();
      added(category);
      toast(`The category ${category.name} is made.`);
    },
  });
  return form;
}

/** @param {FormField} category */
function productForm(category) {
  const made = h("p", { class: "aside" });
  const form = new ActionForm({
    parts: [h("div", { class: "fields" },
      new FormField({ name: "name", label: "Name", required: true, rules: [atMost(200)] }),
      category,
      new FormField({ name: "price", label: "Price", required: true, rules: [amount],
        attributes: { inputmode: "decimal", placeholder: "9.99" } }),
      new FormField({ name: "stock", label: "In stock", required: true, rules: [stock], value: "1",
        attributes: { inputmode: "numeric" } }),
      new FormField({ name: "imageUrl", label: "Picture", type: "url", rules: [url, atMost(2048)],
        attributes: { placeholder: "https://" } }),
      new FormField({ name: "description", label: "Description", type: "textarea", rules: [atMost(5000)] }))],
    submit: "Create the product",
    reasons: { CATEGORY_NOT_FOUND: "categoryId" },
    async action(values, keyFor) {
      const request = { ...values, price: moneyFrom(values["price"] ?? ""), stock: Number(values["stock"]) };
      const product = await catalog.createProduct(request, keyFor(request));
      form.clear();
      fill(made, "Made: ", h("a", { href: `#/products/${product.id}` }, product.name));
      toast(`The product ${product.name} is made.`);
    },
  });
  return h("div", {}, form, made);
}

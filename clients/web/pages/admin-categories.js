// The categories of the catalog, for administrators.

import { catalog } from "../api/lockstep.js";
import { h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm } from "../ui/form.js";
import { bones, loaded } from "../ui/loading.js";
import { atMost } from "../ui/rules.js";
import { section } from "../ui/section.js";
import { toast } from "../ui/words.js";
import { adminTabs } from "./admin-tabs.js";

/** @typedef {import("../api/types.js").Category} Category */

/** @param {import("../app/router.js").Visit} visit */
export function page({ signal }) {
  const content = loaded({
    signal, fetch: () => catalog.categories(signal), show: (found) => [sections(found)], skeleton: bones(1, "bone-product"),
  });
  return { title: "Categories", content: [h("div", { class: "page" }, h("h1", {}, "Categories"), adminTabs("categories"), content)] };
}

/** @param {Category[]} categories */
function sections(categories) {
  const rows = h("ul", { class: "rows dense", "aria-label": "Categories" }, ...categories.map(row));
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
      rows.prepend(row(category));
      toast(`The category ${category.name} is made.`);
    },
  });
  return h("div", { class: "sections" }, rows, section("New category", form));
}

/** @param {Category} category */
function row({ id, name, description }) {
  return h("li", {}, h("article", { class: "row" }, h("div", { class: "row-main" },
    h("h2", {}, h("a", { href: `#/admin/catalog?category=${id}` }, name)),
    description && h("p", { class: "muted clip" }, description))));
}

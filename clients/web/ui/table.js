// Rows of a table. On a phone they are laid out as cards (styles/pages.css), which would take their
// roles away in some browsers, so each names its own.

import { h } from "./dom.js";

/** @typedef {{ title: string, kind?: string }} Column its title and a class of its cells */

/** @param {Column[]} columns @param {Element} body */
export const table = (columns, body) => h("table", { class: "table", role: "table" },
  h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...columns.map(({ title, kind }) =>
    h("th", { role: "columnheader", scope: "col", class: kind }, title)))), body);

/**
 * A row whose first cell names it.
 *
 * @param {Column[]} columns
 * @param {...import("./dom.js").Child} cells one for each column
 */
export const tableRow = (columns, ...cells) => h("tr", { role: "row" }, ...cells.map((each, index) => (index === 0
  ? h("th", { role: "rowheader", scope: "row", class: columns[0]?.kind }, each)
  : h("td", { role: "cell", class: columns[index]?.kind }, each))));

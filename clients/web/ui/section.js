// A part of a page, under a heading of its own.

import { h } from "./dom.js";

/** @param {string} title @param {...import("./dom.js").Child} parts */
export const section = (title, ...parts) => h("section", { class: "card" }, h("h2", {}, title), ...parts);

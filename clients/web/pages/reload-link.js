// The way on for somebody whose page is older than what it shows.

import { showAgain } from "../app/router.js";
import { h } from "../ui/dom.js";

export const reloadLink = () => h("button", { type: "button", class: "link", onclick: showAgain }, "Load it again");

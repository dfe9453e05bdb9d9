// A button that does one thing at a time, and says what went wrong.

import { RequestKey } from "../api/http.js";
import { h } from "./dom.js";
import { toast, wordsOf } from "./words.js";

/**
 * @param {import("./dom.js").Attributes} attributes
 * @param {(keyFor: (request: unknown) => string) => Promise<void>} action
 * @param {...import("./dom.js").Child} content
 */
export function actionButton(attributes, action, ...content) {
  const key = new RequestKey();
  const button = h("button", { type: "button", ...attributes, onclick: async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    button.classList.toggle("busy", button.classList.contains("button"));
    try {
      await action((request) => key.for(request));
      key.settle();
    } catch (error) {
      key.settleUnlessUndecided(error);
      toast(wordsOf(error), "problem");
    }
    button.removeAttribute("aria-disabled");
    button.classList.remove("busy");
  } }, ...content);
  return button;
}

// Dialogs: the browser's own, which keep focus inside and close on Escape.

import { h, uniqueId } from "./dom.js";
import { icon } from "./icons.js";

/**
 * Show a dialog and return when it is closed. Who leaves the page gives it up.
 *
 * @param {string} title
 * @param {(close: (answer?: string) => void) => Node[]} makeContent
 * @param {string} [kind] a class of the dialog
 * @returns {Promise<string>} what it was closed with; empty when it was given up
 */
export function ask(title, makeContent, kind = "") {
  const id = uniqueId("dialog");
  const dialog = h("dialog", { class: `dialog ${kind}`.trim(), "aria-labelledby": id });
  const close = (answer = "") => dialog.close(answer);
  dialog.append(
    h("button", { type: "button", class: "dialog-close", "aria-label": "Close", onclick: () => close() }, icon("close")),
    h("h2", { id }, title), ...makeContent(close));
  document.body.append(dialog);
  dialog.showModal();
  const leave = () => close();
  addEventListener("hashchange", leave);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      removeEventListener("hashchange", leave);
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}

/** @param {string} title @param {string} text @param {string} yes @param {string} [no] */
export async function confirmed(title, text, yes, no) {
  const answer = await ask(title, (close) => [
    h("p", {}, text),
    h("div", { class: "form-end" },
      h("button", { type: "button", class: "button danger", onclick: () => close("yes") }, yes),
      keepButton(close, no)),
  ]);
  return answer === "yes";
}

/** The way out of a dialog without doing what it asks about. @param {() => void} close @param {string} [label] */
export const keepButton = (close, label = "Keep it") => h("button", { type: "button", class: "button plain", onclick: () => close() }, label);

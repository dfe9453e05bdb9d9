// What is said to the reader: short news, and notices that stay where they belong.

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

const TOAST_MS = 6000;

/**
 * Say something short that needs no answer.
 *
 * @param {string} text
 * @param {"ok" | "problem"} [tone]
 */
export function toast(text, tone = "ok") {
  const element = h("p", { class: `toast toast-${tone}` },
    icon(tone === "ok" ? "check" : "alert"), text);
  document.getElementById("toasts")?.append(element);
  setTimeout(() => element.remove(), TOAST_MS);
}

/**
 * A notice beside what it is about; read out when it appears. It can count down a wait.
 */
export class NoticeBox extends HTMLElement {
  /** @type {number | undefined} */
  #timer;
  #text = h("p", { role: "alert", class: "notice-text" });
  #clock = h("p", { role: "timer", class: "notice-clock" });

  connectedCallback() {
    if (!this.#text.isConnected) this.append(this.#text, this.#clock);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
  }

  /**
   * Say what went wrong.
   *
   * @param {string} text
   * @param {Node[]} more links and the like
   */
  say(text, ...more) {
    this.clear();
    this.className = "notice";
    fill(this.#text, icon("alert"), h("span", {}, text, " ", ...more));
  }

  clear() {
    clearInterval(this.#timer);
    this.removeAttribute("class");
    fill(this.#text);
    fill(this.#clock);
  }

  /**
   * Show how long to wait, second by second, under what was said.
   *
   * @param {number} seconds
   * @param {() => void} done
   */
  wait(seconds, done) {
    const end = Date.now() + seconds * 1000;
    const tick = () => {
      const left = Math.ceil((end - Date.now()) / 1000);
      if (left > 0) {
        fill(this.#clock, `Please wait ${left} ${left === 1 ? "second" : "seconds"}.`);
        return;
      }
      clearInterval(this.#timer);
      fill(this.#clock, "You can try again now.");
      done();
    };
    clearInterval(this.#timer);
    this.#timer = setInterval(tick, 250);
    tick();
  }
}

customElements.define("notice-box", NoticeBox);

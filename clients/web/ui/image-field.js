// Choosing a picture: a file, scaled down here, shown before it is sent.

import { fill, h, uniqueId } from "./dom.js";
import { picture } from "./picture.js";

const SIDE = 1600;
const QUALITY = 0.86;
const TYPES = "image/jpeg,image/png,image/webp";

export class ImageField extends HTMLElement {
  /** @type {Blob | null} what was chosen, ready to be sent */
  image = null;
  #preview = h("div", { class: "image-preview" });
  #id = uniqueId("image");
  #error = h("p", { class: "field-error", id: `${this.#id}-error`, "aria-live": "polite" });
  #input = h("input", { type: "file", id: this.#id, accept: TYPES, "aria-describedby": `${this.#id}-error`,
    onchange: () => void this.#take(this.#input.files?.[0]) });

  /** @param {{ id: string, name: string, imageUrl: string, thumbnailUrl?: string }} product */
  constructor(product) {
    super();
    fill(this.#preview, picture(product, { isFirst: true }));
  }

  connectedCallback() {
    if (this.childElementCount) return;
    this.addEventListener("dragover", (event) => event.preventDefault());
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      void this.#take(event.dataTransfer?.files[0]);
    });
    this.append(h("label", { for: this.#id }, "Picture"), this.#preview,
      h("p", { class: "field-hint" }, "Choose a JPEG, PNG or WebP file, or drop it here."), this.#input, this.#error);
  }

  /** @param {File | undefined} file */
  async #take(file) {
    if (!file) return;
    fill(this.#error);
    try {
      const canvas = await scaled(file);
      this.image = await new Promise((resolve) => { canvas.toBlob(resolve, "image/webp", QUALITY); });
      if (!this.image) throw new Error("the browser cannot write it");
      canvas.setAttribute("aria-label", "The picture that was chosen");
      canvas.setAttribute("role", "img");
      fill(this.#preview, canvas);
      this.dispatchEvent(new Event("input", { bubbles: true }));
    } catch {
      this.image = null;
      fill(this.#error, "This file can't be read as a picture. Choose another one.");
    }
  }
}

customElements.define("image-field", ImageField);

/** @param {File} file */
async function scaled(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = h("canvas", { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) });
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas;
}

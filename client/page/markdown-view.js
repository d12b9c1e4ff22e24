/** What the model wrote, as elements. Nothing here trusts it. */

import { h } from "./element.js";

let modules; // asked for by the first answer
let loaded = null;

/** @returns {Promise<object>} what draws answers */
export function drawing() {
  modules ??= Promise.all([import("./answer.js"), import("./growth.js")]).then(
    ([answer, growth]) => (loaded = { ...answer, ...growth }),
  );
  return modules;
}

/** Markdown that grows: as it is written until what draws it is here. */
export class MarkdownView {
  element = h("div", { class: "markdown" });
  #text = "";
  #final = false;
  #growth;

  /** @param {string} source @param {boolean} final  nothing follows */
  update(source, final) {
    const text = source.replace(/\r\n?/g, "\n");
    if (text === this.#text && final === this.#final) return;
    this.#text = text;
    this.#final = final;
    if (!final) this.element.classList.add("live");
    if (loaded) this.#draw();
    else drawing().then(() => this.#draw(), () => this.element.replaceChildren(h("p", { class: "text" }, this.#text)));
  }

  #draw() {
    this.#growth ??= new loaded.Growth(this.element);
    this.#growth.update(this.#text, this.#final);
  }
}

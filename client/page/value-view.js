/** A value of unknown shape under a heading: an object as rows, or all of it as JSON. */

import { h } from "./element.js";
import { words } from "./words.js";

export class ValueView {
  #rows = h("dl", { class: "rows" });
  #pre = h("pre", { tabIndex: 0, role: "group", dir: "auto" });
  #switch = h("button", { type: "button", class: "quiet", onclick: () => this.#show(this.#pre.hidden) }, "JSON");
  #told;
  element = h("div", { class: "value", hidden: true });

  /** @param {string} label */
  constructor(label) {
    this.#pre.setAttribute("aria-label", label);
    this.element.append(h("p", { class: "label" }, label, " ", this.#switch), this.#rows, this.#pre);
  }

  /** @param {any} value  nothing to show: nothing shown @param {string[]} [defaults]  keys that nobody set */
  update(value, defaults = []) {
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    this.element.hidden = value === undefined || value === null;
    if (this.#told === text) return;
    this.#told = text;
    this.#pre.textContent = text ?? "";
    const rows = typeof value === "object" && !Array.isArray(value) ? Object.entries(value ?? {}) : [];
    this.#rows.replaceChildren(...rows.flatMap(([key, one]) => [h("dt", {}, key), h("dd", { dir: "auto" }, plain(one), ...(defaults.includes(key) ? [" ", h("span", { class: "hint" }, words("by_default"))] : []))]));
    this.#switch.hidden = !rows.length;
    this.#show(!rows.length);
  }

  #show(json) {
    this.#pre.hidden = !json;
    this.#rows.hidden = json;
    this.#switch.setAttribute("aria-pressed", String(json));
  }
}

const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** The way from a question or an answer to what stands in its place elsewhere. */

import { h } from "./element.js";
import { words } from "./words.js";

export class BranchBar {
  #back;
  #onward;
  #place = h("span");
  #family = [];
  #at = 0;
  element;

  /** @param {(message_id: string) => void} select */
  constructor(select) {
    const way = (text, name, step) =>
      h("button", { type: "button", class: "tool", "aria-label": name, onclick: () => select(this.#family[this.#at + step]) }, text);
    this.#back = way("‹", words("previous_version"), -1);
    this.#onward = way("›", words("next_version"), 1);
    this.element = h("span", { class: "branch-bar", hidden: true }, this.#back, this.#place, this.#onward);
  }

  /**
   * @param {string[]} family  the message and the siblings next to it
   * @param {{place: number, count: number}} standing  among all of them
   * @param {boolean} quiet  nothing runs
   */
  update(message_id, family, { place, count }, quiet) {
    this.#family = family;
    this.#at = family.indexOf(message_id);
    this.element.hidden = family.length < 2;
    this.#place.textContent = `${place} / ${count}`;
    this.#back.disabled = !quiet || this.#at <= 0;
    this.#onward.disabled = !quiet || this.#at >= family.length - 1;
  }
}

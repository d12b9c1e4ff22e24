/** Beside a question or an answer: another try, and the way to what stands in its place elsewhere. */

import { h } from "./element.js";

export class BranchBar {
  #again;
  #back;
  #onward;
  #place = h("span");
  #ways;
  #family = [];
  #at = 0;
  element;

  /**
   * @param {string} label  of the button that makes another one
   * @param {() => void} again
   * @param {(message_id: string) => void} select
   */
  constructor(label, again, select) {
    const way = (text, name, step) =>
      h("button", { type: "button", class: "quiet", "aria-label": name, onclick: () => select(this.#family[this.#at + step]) }, text);
    this.#again = h("button", { type: "button", class: "quiet", onclick: again }, label);
    this.#back = way("‹", "Previous version", -1);
    this.#onward = way("›", "Next version", 1);
    this.#ways = h("span", { hidden: true }, this.#back, this.#place, this.#onward);
    this.element = h("div", { class: "branch-bar" }, this.#ways, this.#again);
  }

  /**
   * @param {string[]} family  the message and the siblings next to it
   * @param {{place: number, count: number}} standing  among all of them
   * @param {boolean} quiet  nothing runs
   */
  update(message_id, family, { place, count }, quiet) {
    this.#family = family;
    this.#at = family.indexOf(message_id);
    this.#ways.hidden = family.length < 2;
    this.#place.textContent = `${place} / ${count}`;
    this.#back.disabled = !quiet || this.#at <= 0;
    this.#onward.disabled = !quiet || this.#at >= family.length - 1;
    this.#again.disabled = !quiet;
  }
}

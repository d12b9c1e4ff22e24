/** What was wrong with an answer, for whoever wants to say it. */

import { h } from "./element.js";
import { words } from "./words.js";

const LONGEST = 1000; // characters that the server takes

export class CommentForm {
  #box = h("input", { maxLength: LONGEST, placeholder: words("what_was_wrong"), "aria-label": words("comment") });
  element = h("form", { class: "comment", hidden: true }, this.#box,
    h("button", { type: "submit" }, words("send")),
    h("button", { type: "button", class: "quiet", onclick: () => this.#leave() }, words("cancel")));
  #left;

  /** @param {(text: string) => void} say @param {() => void} left  the focus has to go somewhere */
  constructor(say, left) {
    this.#left = left;
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#box.value.trim()) say(this.#box.value.trim());
      this.#leave();
    });
    this.element.addEventListener("keydown", ({ key }) => key === "Escape" && this.#leave());
  }

  /** @param {boolean} open */
  show(open) {
    this.element.hidden = !open;
    if (open) this.#box.focus();
  }

  #leave() {
    this.#box.value = "";
    this.show(false);
    this.#left();
  }
}

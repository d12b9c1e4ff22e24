/** What the model thought before its answer: in one line while it does, and how long it took. */

import { h } from "./element.js";
import { lasting } from "./format.js";
import { words } from "./words.js";

const LINE = 200; // characters of what it thinks now

export class ReasoningView {
  #began; // ms, where the beginning was seen
  #took;
  #line = h("span", { class: "thought-line", dir: "auto" });
  #text = h("div", { class: "text", dir: "auto" });
  element = h("details", { class: "reasoning", hidden: true }, h("summary", {}, this.#line), this.#text);

  /** @param {string} text @param {boolean} live  the answer has not begun */
  update(text, live) {
    this.element.hidden = !text;
    if (!text) return;
    if (live) this.#began ??= performance.now();
    else if (this.#began) this.#took ??= (performance.now() - this.#began) / 1000;
    if (this.#text.textContent !== text) this.#text.textContent = text;
    this.element.dataset.live = String(live);
    const known = this.#took === undefined ? words("thought") : words("thought_for", { time: lasting(Math.max(1, this.#took)) });
    const line = live ? newest(text) : known;
    if (this.#line.textContent !== line) this.#line.textContent = line;
  }
}

/** The last line with something in it, without the signs of its Markdown. */
const newest = (text) => {
  const line = text.slice(-4 * LINE).trimEnd().split("\n").at(-1).replace(/^[\s#>*-]+|[*`_]+/g, "");
  return (line.length > LINE ? `…${line.slice(-LINE)}` : line) || words("thinking");
};

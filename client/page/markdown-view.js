/** What the model wrote, as elements. Nothing here trusts it. */

import { h } from "./element.js";
import { soon } from "./soon.js";

const SLOW_MS = 25;
const LONGEST_REST_MS = 400; // what gathers meanwhile is drawn at once
const TOGETHER = 8; // blocks
const NEAR = 6; // groups at the end, which the reader may see

let modules; // asked for by the first answer
let loaded = null;

/** @returns {Promise<object>} what draws answers */
export function drawing() {
  modules ??= Promise.all([import("./answer.js"), import("./grow.js")]).then(
    ([answer, grow]) => (loaded = { ...answer, ...grow }),
  );
  return modules;
}

/** Markdown that grows. Its blocks are drawn once; only what the end of the text changes is drawn again. */
export class MarkdownView {
  element = h("div", { class: "markdown" });
  #text = "";
  #final = false;
  #answer;
  #kept = [];
  #groups = new WeakMap();
  #rest = 0; // when to draw again, where drawing is slow
  #timer;

  /** @param {string} source @param {boolean} final  nothing follows */
  update(source, final) {
    const text = source.replace(/\r\n?/g, "\n");
    if (text === this.#text && final === this.#final) return;
    this.#text = text;
    this.#final = final;
    if (!final) this.element.classList.add("live");
    if (loaded) this.#draw();
    else drawing().then(() => this.#draw(), () => this.#plain());
  }

  #draw() {
    const begun = performance.now();
    clearTimeout(this.#timer);
    if (begun < this.#rest && !this.#final) {
      this.#timer = setTimeout(() => {
        this.#draw();
        soon(() => this.element.getBoundingClientRect()); // layout is a task of its own
      }, this.#rest - begun);
      return;
    }
    const { Answer, grow, grouped } = loaded;
    try {
      this.#answer ??= new Answer();
      const blocks = this.#answer.plan(this.#text, this.#final);
      grow(this.element, this.#kept, grouped(blocks, TOGETHER, this.#groups, group));
    } catch (error) {
      console.error(error);
      this.#plain();
    }
    const took = performance.now() - begun;
    this.#rest = took > SLOW_MS ? begun + Math.min(4 * took, took + LONGEST_REST_MS) : 0;
  }

  /** The text as it is written: better than nothing. */
  #plain() {
    this.#kept = [];
    this.#answer = undefined;
    this.element.replaceChildren(h("p", { class: "text" }, this.#text));
  }
}

const group = (at, behind) => ({ tag: "div", attributes: { class: behind < NEAR ? "blocks" : "blocks past" } });

/** A block of code: its language, its lines in colour, and buttons to copy and to wrap it. */

import { h } from "./element.js";
import { grow } from "./grow.js";
import { copied } from "./icon-button.js";
import { untilLoaded } from "./until-loaded.js";
import { words } from "./words.js";

const CHUNK = 40; // lines that the browser lays out together
const LONG = 4000; // characters of a line that is not coloured
const SLICE_MS = 6;

let colouring; // the module that knows languages; asked for by the first block

export class CodeBlock {
  #text = "";
  #lines = []; // {element, kept, text}
  #painted = 0; // so many of them are as they stay
  #wanted; // the language that was asked for
  #painter = null;
  #due = false;
  #chunk;
  #name = h("span", { class: "language" });
  #copied = h("button", { type: "button", onclick: () => this.#copy() }, words("copy"));
  #wrap = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.#toggle() }, words("wrap"));
  #code = h("code");
  element = h(
    "div",
    { class: "code", dir: "ltr" },
    h("div", { class: "code-bar" }, this.#name, this.#wrap, this.#copied),
    h("pre", { tabIndex: 0, role: "group", "aria-label": words("code") }, this.#code),
  );

  /** @param {{text: string, language: string}} plan */
  update({ text, language }) {
    if (this.#wanted !== language) this.#speak(language);
    if (!text.startsWith(this.#text)) this.#clear();
    const last = this.#lines.at(-1);
    const fresh = text.slice(this.#text.length).split("\n");
    this.#text = text;
    if (last) last.text += fresh.shift();
    if (last) this.#draw(last, fresh.length > 0);
    fresh.forEach((line, index) => this.#begin(line, index < fresh.length - 1));
    this.#paint();
  }

  async #speak(language) {
    this.#wanted = language;
    this.#name.textContent = language;
    colouring ??= untilLoaded(() => import("./colours.js"));
    const { painterOf } = await colouring;
    const painter = await painterOf(language).catch(() => null);
    if (!painter || this.#wanted !== language) return;
    this.#painter = painter();
    this.#painted = 0;
    this.#paint();
  }

  #clear() {
    this.#code.replaceChildren();
    this.#lines = [];
    this.#painted = 0;
    this.#text = "";
    this.#painter?.restart();
  }

  #begin(text, whole) {
    if (this.#lines.length % CHUNK === 0) {
      this.#chunk = this.#code.appendChild(h("span", { class: "lines" }));
    }
    const line = { element: this.#chunk.appendChild(h("span")), kept: [], text };
    this.#lines.push(line);
    this.#draw(line, whole);
  }

  /** A line as text: all of it before its language is known, what is new of it after. */
  #draw(line, whole) {
    const shown = line.kept.map(({ plan }) => plan.text ?? plan).join("");
    const rest = (whole ? `${line.text}\n` : line.text).slice(shown.length);
    if (!rest) return;
    const plans = line.kept.map(({ plan }) => plan);
    if (typeof plans.at(-1) === "string") plans[plans.length - 1] += rest;
    else plans.push(rest);
    grow(line.element, line.kept, plans);
  }

  /** Colour what has none, for a moment; the rest follows in the next frames. The last line may grow. */
  #paint() {
    if (!this.#painter || this.#due) return;
    const until = performance.now() + SLICE_MS;
    const last = this.#lines.length - 1;
    for (; this.#painted < last; this.#painted++) {
      if (performance.now() > until) return this.#later();
      this.#colour(this.#lines[this.#painted], "\n", this.#painter);
    }
    if (last >= 0) this.#colour(this.#lines[last], "", this.#painter.fork());
  }

  #colour(line, end, painter) {
    const parts = line.text.length > LONG ? [line.text] : painter.line(line.text);
    grow(line.element, line.kept, end ? [...parts, end] : parts);
  }

  #later() {
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#paint();
    });
  }

  async #copy() {
    if (!(await copied(this.#text))) return;
    this.#copied.textContent = words("copied");
    setTimeout(() => (this.#copied.textContent = words("copy")), 2000);
  }

  #toggle() {
    const wrapped = this.element.classList.toggle("wrapped");
    this.#wrap.setAttribute("aria-pressed", String(wrapped));
  }
}

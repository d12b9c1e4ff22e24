/** Draws a text that grows, a piece in each task, and leaves the browser time for others. */

import { soon } from "../deferred.js";
import { Answer } from "./answer.js";
import { h } from "./element.js";
import { grow, grouped } from "./grow.js";

const SLOW_MS = 25;
const TOO_SLOW_MS = 100;
const LONGEST_REST_MS = 400;
const PIECE = 400; // characters of what comes live; twice as many after a piece that was too slow
const TOGETHER = 8; // blocks
const NEAR = 6; // groups at the end, which the reader may see

/** Its blocks are drawn once; only what the end of the text changes is drawn again. */
export class Growth {
  #element;
  #text = "";
  #final = false;
  #drawn = 0; // characters
  #piece = PIECE;
  #answer;
  #kept = [];
  #groups = new WeakMap();
  #count = 0; // of groups
  #stood = 0; // of those that were there when the reader last saw it
  #rest = 0; // when to draw again, where drawing is slow
  #timer;

  /** @param {Element} element  of the class `live`, where the text comes while it is read */
  constructor(element) {
    this.#element = element;
  }

  /** @param {string} text @param {boolean} final  nothing follows */
  update(text, final) {
    if (!text.startsWith(this.#text)) this.#drawn = text.length;
    this.#text = text;
    this.#final = final;
    this.#stood = this.#count;
    this.#draw();
  }

  get #behind() {
    return this.#drawn < this.#text.length;
  }

  #draw() {
    const begun = performance.now();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (begun < this.#rest && !this.#final) {
      this.#later(this.#rest - begun);
      return;
    }
    const live = this.#element.classList.contains("live");
    this.#drawn = live ? cut(this.#text, this.#drawn + this.#piece) : this.#text.length;
    try {
      this.#grow(this.#text.slice(0, this.#drawn), this.#final && !this.#behind);
    } catch (error) {
      console.error(error);
      this.#plain();
    }
    const took = performance.now() - begun;
    this.#rest = took > SLOW_MS ? begun + Math.min(4 * took, took + LONGEST_REST_MS) : 0;
    if (live) soon(() => this.#layOut(took));
  }

  #later(ms) {
    this.#timer ??= setTimeout(() => this.#draw(), ms);
  }

  /** Layout is a task of its own, and so is what is still to be drawn. `drawing`: how long that took, ms. */
  #layOut(drawing) {
    const begun = performance.now();
    this.#element.getBoundingClientRect();
    this.#piece = Math.max(drawing, performance.now() - begun) > TOO_SLOW_MS ? 2 * this.#piece : PIECE;
    if (this.#behind) this.#later(0);
  }

  #grow(text, final) {
    if (!this.#answer) {
      this.#answer = new Answer();
      this.#element.replaceChildren();
    }
    const old = this.#stood - NEAR;
    const group = (at) => ({ tag: "div", attributes: { class: at < old ? "blocks past" : "blocks" } });
    const groups = grouped(this.#answer.plan(text, final), TOGETHER, this.#groups, group);
    this.#count = groups.length;
    grow(this.#element, this.#kept, groups);
  }

  /** The text as it is written: better than nothing. */
  #plain() {
    this.#kept = [];
    this.#answer = undefined;
    this.#drawn = this.#text.length;
    this.#element.replaceChildren(h("p", { class: "text" }, this.#text));
  }
}

/** The end of a piece, which is not within a character of two units. */
function cut(text, end) {
  const within = /[\udc00-\udfff]/.test(text.charAt(end));
  return Math.min(text.length, within ? end + 1 : end);
}

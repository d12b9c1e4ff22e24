/** What a screen reader is told: an answer once, when it is whole, not word by word. */

import { activeRun, withdrawn } from "../reducer.js";
import { drawing } from "./markdown-view.js";
import { inWords } from "./tool-card.js";
import { words } from "./words.js";

const LONGEST = 1000; // characters

export class Announcer {
  #element;
  #session;
  #done;
  #asked;

  /** @param {HTMLElement} element  a live region */
  constructor(element) {
    this.#element = element;
  }

  /** @param {string} text */
  say(text) {
    this.#element.textContent = text;
  }

  /** An answer in words, without the signs of its Markdown. */
  async #read({ message, status }) {
    const text = message.text.slice(0, 4 * LONGEST);
    const plain = await drawing().then(({ plainText }) => plainText(text), () => text);
    this.say(plain.slice(0, LONGEST) || words("answer_ended", { status }));
  }

  /** @param {import("../reducer.js").State} state */
  update(state) {
    const { session_id, runs } = state;
    const last = runs.findLast((run) => run.done && !withdrawn(run));
    const known = this.#session === session_id; // what was there when it was opened is no news
    if (known && last && this.#done !== last.done) {
      this.#read(last);
    }
    const parts = activeRun(state)?.message.parts ?? [];
    const asked = parts.findLast(({ call }) => call?.status === "awaiting_approval")?.call;
    if (asked && this.#asked !== asked) this.say(words("waits_for_approval", { call: inWords(asked.name) }));
    this.#session = session_id;
    this.#done = last?.done;
    this.#asked = asked;
  }
}

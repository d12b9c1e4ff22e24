/** What a screen reader is told: an answer once, when it is whole, not word by word. */

import { activeRun } from "../reducer.js";
import { inWords } from "./tool-card.js";

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

  /** @param {import("../reducer.js").State} state */
  update(state) {
    const { session_id, runs } = state;
    const last = runs.findLast((run) => run.done);
    const known = this.#session === session_id; // what was there when it was opened is no news
    if (known && last && this.#done !== last.done) {
      this.say(last.message.text.slice(0, 1000) || `The answer ended: ${last.status}`);
    }
    const parts = activeRun(state)?.message.parts ?? [];
    const asked = parts.findLast(({ call }) => call?.status === "awaiting_approval")?.call;
    if (asked && this.#asked !== asked) this.say(`${inWords(asked.name)} waits for approval.`);
    this.#session = session_id;
    this.#done = last?.done;
    this.#asked = asked;
  }
}

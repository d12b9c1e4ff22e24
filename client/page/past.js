/** The list of the user's past sessions. */

import { h } from "./element.js";
import { lasting, summaryLine, when } from "./format.js";

const AGAIN_MS = 10_000;

export class PastSessions {
  #list;
  #empty;
  #parts;
  #timer;

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} empty  shown while there are none
   * @param {object} parts
   * @param {() => Promise<object[]>} parts.sessions  reads the rows
   * @param {() => string | null} parts.current  the session on the page, which is not a past one
   * @param {(session: object) => void} parts.chosen
   */
  constructor(list, empty, parts) {
    this.#list = list;
    this.#empty = empty;
    this.#parts = parts;
  }

  /** Read the list anew; again after a while, as long as one still has to end or be summarised. */
  async refresh() {
    clearTimeout(this.#timer);
    const sessions = await this.#parts.sessions().catch(() => []);
    const past = sessions.filter((session) => session.session_id !== this.#parts.current());
    this.#empty.hidden = past.length > 0;
    this.#list.replaceChildren(...past.map((session) => this.#item(session)));
    if (past.some((session) => !session.end_time || session.summary_status === "pending")) {
      this.#timer = setTimeout(() => this.refresh(), AGAIN_MS);
    }
  }

  #item(session) {
    const { start_time, end_time, duration_seconds, summary, summary_status } = session;
    const length = end_time ? lasting(duration_seconds ?? 0) : "open";
    const line =
      summary ?? (end_time && summary_status !== "none" ? summaryLine({ status: summary_status }) : "");
    const button = h(
      "button",
      { type: "button", onclick: () => this.#parts.chosen(session) },
      h("span", { class: "date" }, when(start_time)),
      h("span", { class: "length" }, length),
      h("span", { class: "summary" }, line),
    );
    return h("li", { data: { sessionId: session.session_id } }, button);
  }
}

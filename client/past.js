/** The caller's past sessions, read over HTTP. */

import { lasting, summaryLine, when } from "./format.js";
import { initial, load, prepend } from "./reducer.js";
import { h } from "./render.js";

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
   * @param {() => Promise<string | undefined>} parts.bearer
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
    const { sessions = [] } = await this.#get("./api/sessions").catch(() => ({}));
    const past = sessions.filter((session) => session.session_id !== this.#parts.current());
    this.#empty.hidden = past.length > 0;
    this.#list.replaceChildren(...past.map((session) => this.#item(session)));
    if (past.some((session) => !session.end_time || session.summary_status === "pending")) {
      this.#timer = setTimeout(() => this.refresh(), AGAIN_MS);
    }
  }

  /** All that was said. @returns {Promise<import("./reducer.js").State>} */
  async read({ session_id }) {
    const path = `./api/sessions/${encodeURIComponent(session_id)}`;
    const { session, ...newest } = await this.#get(path);
    const { user_id } = session;
    const payload = { mode: "snapshot", session_id, user_id, epoch: 0, seq: 0, ...newest };
    let { state } = load(initial(), payload);
    while (state.next_before_seq) {
      state = prepend(state, await this.#get(`${path}?before_seq=${state.next_before_seq}`));
    }
    return state;
  }

  async #get(path) {
    const token = await this.#parts.bearer();
    if (!token) return {};
    const response = await fetch(path, { headers: { authorization: `Bearer ${token}` } });
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    return response.json();
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

/** The list of the user's past sessions. */

import { listAfter, listWith } from "../list.js";
import { h } from "./element.js";
import { lasting, summaryLine, when } from "./format.js";

export class PastSessions {
  #list;
  #empty;
  #parts;
  #rows = [];
  #before = null; // where the next page begins
  #told = null; // while a page is read: the changes since it was asked for

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} empty  shown while there are none
   * @param {object} parts
   * @param {(wanted: {before?: string}) => Promise<{sessions: object[], next_before: string | null}>}
   *   parts.sessions  reads a page of rows
   * @param {() => string | null} parts.current  the session on the page, which is not a past one
   * @param {(session: object) => void} parts.chosen
   */
  constructor(list, empty, parts) {
    this.#list = list;
    this.#empty = empty;
    this.#parts = parts;
  }

  /** Read the list anew. */
  refresh() {
    return this.#read({}, () => []);
  }

  /** Read a page that adds to `rows()`, unless another is asked for meanwhile. */
  async #read(wanted, rows) {
    const told = (this.#told = []);
    const page = await this.#parts.sessions(wanted).catch(() => null);
    if (told !== this.#told) return;
    this.#told = null;
    if (page) {
      this.#rows = listAfter(rows(), page.sessions, told);
      this.#before = page.next_before;
    }
    this.draw();
  }

  /** Take what the server tells of the list. */
  take(change) {
    this.#told?.push(change);
    this.#rows = listWith(this.#rows, change);
    this.draw();
  }

  draw() {
    const past = this.#rows.filter((session) => session.session_id !== this.#parts.current());
    this.#empty.hidden = past.length > 0;
    const items = past.map((session) => this.#item(session));
    if (this.#before) items.push(this.#more());
    this.#list.replaceChildren(...items);
  }

  #next() {
    if (!this.#told) this.#read({ before: this.#before }, () => this.#rows);
  }

  #more() {
    const button = h("button", { type: "button", onclick: () => this.#next() }, "Older sessions");
    return h("li", { class: "more" }, button);
  }

  #item(session) {
    const { active_at, end_time, duration_seconds, summary, summary_status, title } = session;
    const length = end_time ? lasting(duration_seconds ?? 0) : "open";
    const line =
      title ?? summary ?? (end_time && summary_status !== "none" ? summaryLine({ status: summary_status }) : "");
    const button = h(
      "button",
      { type: "button", onclick: () => this.#parts.chosen(session) },
      h("span", { class: "date" }, when(active_at)),
      h("span", { class: "length" }, length),
      h("span", { class: "summary" }, line),
    );
    return h("li", { data: { sessionId: session.session_id } }, button);
  }
}

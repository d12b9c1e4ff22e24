/** The user's sessions: by the day of their last message, or those that a search finds. */

import { listAfter, listWith } from "../list.js";
import { h } from "./element.js";
import { words } from "./words.js";

const MARKED = ["running", "awaiting_approval"];

/** What a session is called in the list. @param {object} session  a row */
export const titleOf = ({ title, summary, last_text }) => title ?? summary ?? (last_text || words("untitled"));

export class SessionList {
  #list;
  #empty;
  #parts;
  #rows = [];
  #before = null; // where the next page begins
  #told = null; // while a page is read: the changes since it was asked for
  #wanted = {};
  #drawn = [];

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} empty  shown while there are none
   * @param {object} parts
   * @param {(wanted: object) => Promise<{sessions: object[], next_before: string | null}>}
   *   parts.sessions  reads a page of rows
   * @param {() => string | undefined} parts.current  the session on the page
   * @param {() => string} parts.title  what that is called
   * @param {(session_id: string) => string} parts.address  of a session
   * @param {(session_id: string) => void} parts.chosen
   * @param {(session: object, title: string, button: HTMLElement) => void} parts.menu
   * @param {HTMLElement} parts.otherwise  has the focus where the list has nothing left that could
   * @param {() => void} parts.changed
   */
  constructor(list, empty, parts) {
    this.#list = list;
    this.#empty = empty;
    this.#parts = parts;
  }

  /** The row of a session, if it is among those that were read. */
  row(session_id) {
    return this.#rows.find((row) => row.session_id === session_id);
  }

  /** Which of them to list. @param {{q?: string, archived?: boolean}} wanted */
  want(wanted) {
    this.#wanted = wanted;
    return this.refresh();
  }

  /** Read the list anew. */
  refresh() {
    return this.#read(this.#wanted, () => []);
  }

  /** Read a page that adds to `rows()`, unless another is asked for meanwhile. */
  async #read(wanted, rows) {
    const told = (this.#told = []);
    const page = await this.#parts.sessions(wanted).catch(() => null);
    if (told !== this.#told) return;
    this.#told = null;
    if (page) {
      const { q, archived } = this.#wanted;
      const found = q ? page.sessions : listAfter(rows(), page.sessions, told, archived);
      this.#rows = q ? [...rows(), ...found] : found;
      this.#before = page.next_before;
    }
    this.draw();
  }

  /** Take what the server tells of the list. Whether a new one matches a search, it does not say. */
  take(change) {
    const { q, archived } = this.#wanted;
    this.#told?.push(change);
    const sessions = q ? change.sessions.filter(({ session_id }) => this.row(session_id)) : change.sessions;
    this.#rows = listWith(this.#rows, { ...change, sessions }, archived);
    this.draw();
  }

  draw() {
    const current = this.#parts.current();
    const today = new Date().toDateString();
    const drawn = [this.#rows, this.#before, this.#wanted, current, this.#parts.title(), today];
    if (drawn.every((one, index) => one === this.#drawn[index])) return; // as in nearly every frame
    this.#drawn = drawn;
    this.#empty.hidden = this.#rows.length > 0;
    this.#empty.textContent = words(this.#wanted.q ? "none_found" : this.#wanted.archived ? "none_archived" : "no_chats");
    const focused = focusIn(this.#list);
    const items = [];
    let group;
    for (const row of this.#rows) {
      const next = this.#wanted.q ? "found" : groupOf(row);
      if (next !== group) items.push(h("li", { class: "group" }, h("span", { role: "heading", "aria-level": "2" }, words(`group_${(group = next)}`))));
      items.push(this.#item(row, current));
    }
    if (this.#before) items.push(this.#more());
    this.#list.replaceChildren(...items);
    if (focused) this.#refocus(focused);
    this.#parts.changed();
  }

  /** Where the row is gone that had the focus, the one in its place has it. */
  #refocus({ selector, place }) {
    const rows = [...this.#list.querySelectorAll(".session a")];
    (this.#list.querySelector(selector) ?? rows[Math.min(place, rows.length - 1)] ?? this.#parts.otherwise)?.focus();
  }

  #more() {
    const next = () => this.#told || this.#read({ ...this.#wanted, before: this.#before }, () => this.#rows);
    return h("li", { class: "more" }, h("button", { type: "button", class: "quiet", onclick: next }, words("show_more")));
  }

  #item(session, current) {
    const { session_id, status, unread } = session;
    const here = session_id === current;
    const title = (here && this.#parts.title()) || titleOf(session);
    const mark = MARKED.includes(status) ? status : unread && !here ? "unread" : "";
    const marked = mark && words(`mark_${mark}`);
    const link = h(
      "a",
      { href: this.#parts.address(session_id), title, "aria-current": here ? "page" : "false", onclick: (event) => this.#choose(event, session_id) },
      h("span", { class: "title", dir: "auto" }, title),
      ...(mark ? [h("span", { class: "mark", role: "img", "aria-label": marked, title: marked, data: { mark } })] : []),
    );
    const button = h("button", { type: "button", class: "quiet dots", "aria-label": words("actions_for", { title }), onclick: ({ currentTarget }) => this.#parts.menu(session, title, currentTarget) }, "⋯");
    return h("li", { class: "session", data: { sessionId: session_id } }, link, button);
  }

  #choose(event, session_id) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return; // a tab of its own
    event.preventDefault();
    this.#parts.chosen(session_id);
  }
}

/** What has the focus in a list, to find it again in the next one: a selector, and the place of its row. */
function focusIn(list) {
  const focused = list.querySelector(":focus");
  const row = focused?.closest(".session");
  return row && {
    selector: `[data-session-id="${CSS.escape(row.dataset.sessionId)}"] ${focused.localName}`,
    place: [...list.querySelectorAll(".session")].indexOf(row),
  };
}

function groupOf({ pinned, active_at, start_time }) {
  if (pinned) return "pinned";
  const midnight = new Date().setHours(0, 0, 0, 0);
  const yesterday = new Date(midnight);
  yesterday.setDate(yesterday.getDate() - 1);
  const at = active_at ?? start_time;
  return at >= midnight ? "today" : at >= yesterday ? "yesterday" : "earlier";
}

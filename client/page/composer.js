/** The message box: it sends, grows with its text, counts what is long, and keeps a draft for each session. */

import { sends } from "./element.js";
import { bytes } from "./format.js";
import { words } from "./words.js";

const DRAFT = "realtime.draft"; // of the session that has not begun
const DRAFT_LENGTH = 100_000; // one that is longer could fill the storage of all the others
const COUNTED = 0.8; // of the longest message

const draftOf = (session_id) => (session_id ? `${DRAFT}.${session_id}` : DRAFT);

export class Composer {
  #box;
  #storage;
  #parts;
  #session; // whose draft is in the box; null: of the one that has not begun

  /**
   * @param {HTMLFormElement} form
   * @param {HTMLTextAreaElement} box
   * @param {import("../storage.js").Keep} storage
   * @param {object} parts
   * @param {(text: string) => boolean} parts.send  false: the text stays in the box
   * @param {() => {count: number, busy: boolean}} parts.attached  files that go with the message
   * @param {() => number} parts.most  bytes of a message; Infinity while that is not known
   * @param {HTMLElement} parts.count  says how much of it is used
   * @param {() => void} parts.changed
   */
  constructor(form, box, storage, parts) {
    this.#box = box;
    this.#storage = storage;
    this.#parts = parts;
    box.addEventListener("input", () => this.#fit());
    box.addEventListener("keydown", (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      this.#send();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.enter(null);
  }

  /** Whether there is something to send, and all of it is there. */
  get ready() {
    const { count, busy } = this.#parts.attached();
    return !busy && Boolean(count || this.#box.value.trim());
  }

  focus() {
    this.#box.focus();
  }

  /** Go to a session's draft. @param {string | null} session_id */
  enter(session_id) {
    if (session_id === this.#session) return;
    this.#session = session_id;
    this.#box.value = this.#storage.getItem(draftOf(session_id)) ?? "";
    this.#fit();
  }

  /** The session has begun: what is in the box is its draft from now on. @param {string | null} session_id */
  adopt(session_id) {
    if (this.#session || !session_id) return;
    this.forget(null);
    this.#session = session_id;
    this.#fit();
  }

  /** The session is not there: what is in the box is for the one that begins. */
  abandon() {
    this.forget(this.#session);
    if (!this.#box.value) return this.enter(null);
    this.#session = null;
    this.#fit();
  }

  /** A session is gone. @param {string | null} session_id */
  forget(session_id) {
    this.#storage.removeItem(draftOf(session_id));
  }

  /** Take a message that was not sent back into the box. @param {string} text */
  edit(text) {
    this.#box.value = [text, this.#box.value].filter(Boolean).join("\n");
    this.#fit();
    this.focus();
  }

  /** A suggestion takes the place of another one. @param {string} text @param {string[]} all */
  suggest(text, all) {
    const { value } = this.#box;
    const there = all.find((one) => `${value}\n`.startsWith(`${one}\n`)) ?? "";
    this.#box.value = value.slice(there && there.length + 1);
    this.edit(text);
  }

  #send() {
    if (!this.ready || !this.#parts.send(this.#box.value)) return;
    this.#box.value = "";
    this.#fit();
  }

  /** As high as its text, within the limit of the style sheet. */
  #fit() {
    const { value } = this.#box;
    if (value && value.length <= DRAFT_LENGTH) this.#storage.setItem(draftOf(this.#session), value);
    else this.forget(this.#session);
    this.#box.dir = value.length <= DRAFT_LENGTH ? "auto" : ""; // to find it takes seconds in megabytes
    this.#box.rows = Math.min(8, value.split("\n").length + Math.floor(value.length / 90));
    this.#count(value);
    this.#parts.changed();
  }

  #count(value) {
    const most = this.#parts.most();
    const size = value.length * 3 < most * COUNTED ? 0 : new TextEncoder().encode(value).length;
    const { count } = this.#parts;
    count.hidden = size < most * COUNTED;
    count.dataset.over = String(size > most);
    count.textContent = count.hidden ? "" : words("count", { used: bytes(size), most: bytes(most) });
  }
}

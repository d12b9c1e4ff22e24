/** The message box: it sends, grows with its text, and keeps a draft for a reload. */

import { sends } from "./element.js";

const DRAFT = "realtime.draft";
const DRAFT_LENGTH = 100_000; // one that is longer could fill the storage of all the others

export class Composer {
  #box;
  #storage;
  #parts;

  /**
   * @param {HTMLFormElement} form
   * @param {HTMLTextAreaElement} box
   * @param {import("../storage.js").Keep} storage
   * @param {object} parts
   * @param {(text: string) => boolean} parts.send  false: the text stays in the box
   * @param {() => {count: number, busy: boolean}} parts.attached  files that go with the message
   * @param {() => void} parts.changed
   */
  constructor(form, box, storage, parts) {
    this.#box = box;
    this.#storage = storage;
    this.#parts = parts;
    box.value = storage.getItem(DRAFT) ?? "";
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
    this.#fit();
  }

  /** Whether there is something to send, and all of it is there. */
  get ready() {
    const { count, busy } = this.#parts.attached();
    return !busy && Boolean(count || this.#box.value.trim());
  }

  focus() {
    this.#box.focus();
  }

  /** Take a message that was not sent back into the box. @param {string} text */
  edit(text) {
    this.#box.value = [text, this.#box.value].filter(Boolean).join("\n");
    this.#fit();
    this.focus();
  }

  #send() {
    if (!this.ready || !this.#parts.send(this.#box.value)) return;
    this.#box.value = "";
    this.#fit();
  }

  /** As high as its text, within the limit of the style sheet. */
  #fit() {
    const { value } = this.#box;
    if (value && value.length <= DRAFT_LENGTH) this.#storage.setItem(DRAFT, value);
    else this.#storage.removeItem(DRAFT);
    this.#box.rows = Math.min(8, value.split("\n").length + Math.floor(value.length / 90));
    this.#parts.changed();
  }
}

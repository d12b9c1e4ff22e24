/** Files that go with the next message: chosen, dropped or pasted, and uploaded at once. */

import { h } from "./element.js";
import { bytes } from "./format.js";
import { problem, words } from "./words.js";

const MOST = 10;
const KEPT = "realtime.attached."; // and the session

export class Attachments {
  #list;
  #parts;
  #entries = []; // {element, file?, abort?}
  #session_id = null;

  /**
   * @param {HTMLElement} list  shows them
   * @param {HTMLInputElement} input  chooses them
   * @param {HTMLElement} target  takes what is dropped or pasted
   * @param {object} parts
   * @param {(file: Blob, options: object) => Promise<import("../files.js").File>} parts.upload
   * @param {(file_id: string) => Promise<string>} parts.url
   * @param {import("../storage.js").Keep} parts.storage
   * @param {() => number} parts.most  bytes of a file; Infinity while that is not known
   * @param {(words: string) => void} parts.failed
   * @param {() => void} parts.changed
   */
  constructor(list, input, target, parts) {
    this.#list = list;
    this.#parts = parts;
    input.addEventListener("change", () => {
      this.add(input.files);
      input.value = "";
    });
    target.addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    target.addEventListener("drop", (event) => this.#take(event, event.dataTransfer));
    target.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      target.toggleAttribute("data-dragging", true);
    });
    const over = ({ relatedTarget }) => target.contains(relatedTarget) || target.toggleAttribute("data-dragging", false);
    for (const name of ["dragleave", "drop"]) target.addEventListener(name, over);
  }

  /** Whether one of them is still on its way. */
  get busy() {
    return this.#entries.some(({ file }) => !file);
  }

  /** @returns {import("../files.js").File[]} those that are uploaded */
  get files() {
    return this.#entries.flatMap(({ file }) => (file ? [file] : []));
  }

  /** They belong to a session, which keeps them as it keeps what is in the box. */
  follow(session_id) {
    if (session_id === this.#session_id) return;
    const left = this.#session_id;
    this.#session_id = null; // what goes now is kept there
    if (left) this.clear();
    this.#session_id = session_id;
    const kept = this.#parts.storage.read(KEPT + session_id);
    if (this.#entries.length) this.#keep();
    else if (Array.isArray(kept)) this.restore(kept);
  }

  /** A session is gone. @param {string} session_id */
  forget(session_id) {
    this.#parts.storage.removeItem(KEPT + session_id);
  }

  #keep() {
    if (!this.#session_id) return;
    if (this.files.length) this.#parts.storage.setItem(KEPT + this.#session_id, JSON.stringify(this.files));
    else this.forget(this.#session_id);
  }

  /** @param {Iterable<Blob & {name?: string}>} chosen */
  add(chosen) {
    for (const blob of chosen) {
      if (this.#entries.length >= MOST) return this.#parts.failed(words("most_files", { count: MOST }));
      const most = this.#parts.most();
      const name = blob.name || words("file");
      if (blob.size > most) this.#parts.failed(words("file_too_large", { name, most: bytes(most) }));
      else this.#upload(blob, name);
    }
  }

  /** Files of a message that was not sent come back. @param {import("../files.js").File[]} files */
  restore(files) {
    for (const file of files) this.#ready(this.#begin(file), file);
  }

  clear() {
    for (const entry of this.#entries.slice()) this.#drop(entry);
  }

  #take(event, data) {
    const files = [...(data?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.add(files);
  }

  #begin({ name, size }) {
    const entry = { abort: new AbortController() };
    const onclick = () => this.#drop(entry);
    entry.bar = h("progress", { max: 1, value: 0, "aria-label": words("upload_of", { name }) });
    entry.element = h("li", { class: "file", data: { state: "uploading" } },
      h("span", { class: "file-name", dir: "auto", title: name }, h("span", {}, name.slice(0, -8)), name.slice(-8)), ` ${bytes(size)} `, entry.bar,
      h("button", { type: "button", class: "quiet", "aria-label": words("remove_file", { name }), onclick }, words("remove")));
    this.#entries.push(entry);
    this.#list.append(entry.element);
    this.#changed();
    return entry;
  }

  async #upload(blob, name) {
    const entry = this.#begin({ name, size: blob.size });
    const progress = (fraction) => (entry.bar.value = fraction);
    try {
      this.#ready(entry, await this.#parts.upload(blob, { name, progress, signal: entry.abort.signal }));
    } catch (error) {
      this.#drop(entry);
      if (error.code !== "dropped") this.#parts.failed(words("not_uploaded", { name, why: problem(error) }));
    }
  }

  #ready(entry, file) {
    entry.file = file;
    entry.bar.remove();
    entry.element.dataset.state = "ready";
    if (file.type.startsWith("image/")) this.#preview(entry, file);
    this.#changed();
  }

  async #preview({ element }, file) {
    const image = h("img", { alt: "", onload: () => element.prepend(image) });
    image.src = await this.#parts.url(file.id).catch(() => "");
  }

  #drop(entry) {
    entry.abort.abort();
    entry.element.remove();
    this.#entries = this.#entries.filter((other) => other !== entry);
    this.#changed();
  }

  #changed() {
    this.#list.hidden = !this.#entries.length;
    this.#keep();
    this.#parts.changed();
  }
}

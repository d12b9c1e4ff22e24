/** Files that go with the next message: chosen, dropped or pasted, and uploaded at once. */

import { h } from "./element.js";
import { bytes } from "./format.js";
import { problem, words } from "./words.js";

const MOST = 10;

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
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
  }

  /** Whether one of them is still on its way. */
  get busy() {
    return this.#entries.some(({ file }) => !file);
  }

  /** @returns {import("../files.js").File[]} those that are uploaded */
  get files() {
    return this.#entries.flatMap(({ file }) => (file ? [file] : []));
  }

  /** They belong to a session; in another one they are forgotten. */
  follow(session_id) {
    if (this.#session_id && session_id !== this.#session_id) this.clear();
    this.#session_id = session_id;
  }

  /** @param {Iterable<Blob & {name?: string}>} chosen */
  add(chosen) {
    for (const blob of chosen) {
      if (this.#entries.length >= MOST) return this.#parts.failed(words("most_files", { count: MOST }));
      this.#upload(blob);
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
    entry.element = h("li", { data: { state: "uploading" } }, h("span", { class: "file-name" }, name), ` ${bytes(size)} `, entry.bar,
      h("button", { type: "button", class: "quiet", "aria-label": words("remove_file", { name }), onclick }, words("remove")));
    this.#entries.push(entry);
    this.#list.append(entry.element);
    this.#changed();
    return entry;
  }

  async #upload(blob) {
    const name = blob.name || words("file");
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
    this.#parts.changed();
  }
}

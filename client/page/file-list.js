/** The files of a message or a tool call: pictures as such, all others by name; a click saves one. */

import { h } from "./element.js";
import { bytes } from "./format.js";
import { words } from "./words.js";

const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/** @typedef {(file_id: string) => Promise<string>} Url  where a file can be read for now */

export class FileList {
  #url;
  #shown = "";
  element = h("ul", { class: "files", hidden: true });

  /** @param {Url} [url]  without it names are shown, and nothing can be saved */
  constructor(url) {
    this.#url = url;
  }

  /** @param {import("../files.js").File[]} [files] */
  update(files = []) {
    const ids = files.map(({ id }) => id).join();
    if (ids === this.#shown) return;
    this.#shown = ids;
    this.element.hidden = !files.length;
    this.element.replaceChildren(...files.map((file) => h("li", {}, this.#item(file))));
  }

  #item(file) {
    if (!this.#url) return h("span", { class: "file file-name" }, file.name);
    const name = h("span", { class: "file-name" }, file.name);
    const label = h("span", {}, name, ` ${bytes(file.size)}`);
    const button = h("button", { type: "button", class: "file", onclick: () => this.#save(file) }, label);
    button.setAttribute("aria-label", words("save_file", { name: label.textContent }));
    if (PICTURES.includes(file.type)) this.#picture(file, button);
    return button;
  }

  async #picture(file, button) {
    const image = h("img", { alt: file.name, onload: () => button.prepend(image) });
    image.src = await this.#url(file.id).catch(() => "");
  }

  async #save(file) {
    const href = await this.#url(file.id).catch(() => null);
    if (href) h("a", { href, download: file.name }).click();
  }
}

/** A user's message inside of an answer, where that took it in. */

import { h } from "./element.js";
import { FileList } from "./file-list.js";
import { words } from "./words.js";

export class SaidView {
  #author = h("p", { class: "author", hidden: true });
  #text = h("div", { class: "text", dir: "auto" });
  #files;
  element = h("article", { class: "message user" }, this.#author, this.#text);

  /** @param {import("./file-list.js").Url} [url] */
  constructor(url) {
    this.#files = new FileList(url);
    this.element.append(this.#files.element);
  }

  /** @param {import("../reducer.js").UserMessage | null} user  null: not known yet */
  update(user, { several, author }) {
    this.element.hidden = !user;
    if (!user) return;
    if (this.#author.hidden === several) this.#author.replaceChildren(...(several ? [author(user)] : []));
    this.#author.hidden = !several;
    this.element.setAttribute("aria-label", several ? this.#author.textContent : words("author_you"));
    if (this.#text.textContent !== user.text) this.#text.textContent = user.text;
    this.#text.hidden = !user.text;
    this.#files.update(user.files);
  }
}

/** What the model wrote, as elements. Nothing here trusts it. */

import DOMPurify from "dompurify";
import { h } from "./element.js";
import { blocks } from "./markdown.js";

const SANE = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
    "ol", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "title", "align", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  ADD_URI_SAFE_ATTR: ["align", "start"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

/** @param {string} html @returns {DocumentFragment} what is left of it */
function sanitised(html) {
  const fragment = DOMPurify.sanitize(html, SANE);
  for (const link of fragment.querySelectorAll("a")) {
    if (!link.getAttribute("href")) link.removeAttribute("href"); // or it leads to this page
    if (!link.hasAttribute("href")) continue;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  return fragment;
}

/**
 * Markdown that grows. Only its last blocks are parsed and drawn again, because new text cannot
 * change the blocks before them. A link's definition can, so all is drawn once more at the end.
 */
export class MarkdownView {
  element = h("div", { class: "markdown" });
  #text = "";
  #settled = 0; // length of the text in the blocks that stay
  #blocks = []; // {raw, element}
  #final = false;

  update(source, final) {
    const text = source.replace(/\r\n?/g, "\n");
    if (text === this.#text && final === this.#final) return;
    const grows = text.startsWith(this.#text) && !(final && !this.#final);
    if (!grows) this.#clear();
    this.#text = text;
    this.#final = final;
    this.#draw();
  }

  #clear() {
    this.element.replaceChildren();
    this.#blocks = [];
    this.#settled = 0;
  }

  #draw() {
    const fresh = blocks(this.#text.slice(this.#settled));
    const open = this.#blocks.splice(0);
    fresh.forEach((block, index) => {
      const old = open[index];
      if (old?.raw === block.raw) return void this.#blocks.push(old);
      const element = old?.element ?? this.element.appendChild(h("div", { class: "block" }));
      element.replaceChildren(sanitised(block.html));
      this.#blocks.push({ raw: block.raw, element });
    });
    for (const { element } of open.slice(fresh.length)) element.remove();
    // the last blocks may yet become something else: a heading, a longer list, a table
    const settled = this.#blocks.splice(0, Math.max(0, this.#blocks.length - 3));
    this.#settled += settled.reduce((length, { raw }) => length + raw.length, 0);
  }
}

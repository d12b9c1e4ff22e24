/**
 * Markdown to HTML, in blocks. DOM-free, and not safe by itself: `markdown-view.js` sanitises.
 * Raw HTML in the source is shown as the text it is, and images become links: loading one
 * would tell its server what the model was made to put in the address.
 */

import { Marked } from "marked";

const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text) => text.replace(/[&<>"']/g, (character) => escapes[character]);

const marked = new Marked({
  gfm: true,
  renderer: {
    html: ({ text }) => escape(text),
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

/**
 * @typedef {{raw: string, html: string}} Block
 */

/**
 * The blocks of a text that may still grow.
 * @param {string} text
 * @returns {Block[]}  their `raw`s add up to the text, but for blanks at its end
 */
export function blocks(text) {
  const tokens = marked.lexer(text);
  return tokens.map((token) => ({ raw: token.raw, html: marked.parser([token]) }));
}

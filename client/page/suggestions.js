/** Questions to begin with. */

import { h } from "./element.js";

/**
 * @param {HTMLElement} list
 * @param {string[]} suggestions
 * @param {(text: string) => void} chosen
 */
export function suggest(list, suggestions, chosen) {
  list.hidden = !suggestions.length;
  const button = (text) => h("button", { type: "button", dir: "auto", onclick: () => chosen(text) }, text);
  list.replaceChildren(...suggestions.map((text) => h("li", {}, button(text))));
}

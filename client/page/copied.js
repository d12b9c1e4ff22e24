/** Copying a text, also on a page over plain http, where there is no clipboard. */

import { h } from "./element.js";

/** @param {string} text @returns {Promise<boolean>} whether it is copied */
export async function copied(text) {
  const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  return done || byHand(text);
}

function byHand(text) {
  let { activeElement } = document;
  while (activeElement?.shadowRoot?.activeElement) ({ activeElement } = activeElement.shadowRoot);
  const box = h("textarea", { value: text, class: "hidden", "aria-hidden": "true" });
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  activeElement?.focus();
  return done;
}

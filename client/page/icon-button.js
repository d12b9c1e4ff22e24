/** Buttons that are a drawing with a name, and what copying does. */

import { h } from "./element.js";
import { icon } from "./icon.js";
import { words } from "./words.js";

const SAID_MS = 2000;

/**
 * @param {Parameters<typeof icon>[0]} drawing
 * @param {string} label
 * @param {(event: Event) => void} onclick
 * @returns {HTMLButtonElement}
 */
export const iconButton = (drawing, label, onclick) =>
  h("button", { type: "button", class: "tool", title: label, "aria-label": label, onclick }, icon(drawing));

/** @param {() => string} text  what is copied @returns {HTMLButtonElement} */
export function copyButton(text) {
  const button = iconButton("copy", words("copy"), async () => {
    if (!(await copied(text()))) return;
    named("check", words("copied"));
    setTimeout(() => named("copy", words("copy")), SAID_MS);
  });
  const named = (drawing, label) => {
    button.replaceChildren(icon(drawing));
    button.title = label;
    button.setAttribute("aria-label", label);
  };
  return button;
}

/** Copy a text, also on a page over plain http, where there is no clipboard. @param {string} text @returns {Promise<boolean>} whether it is copied */
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

/** Buttons that are a drawing with a name. */

import { copied } from "./copied.js";
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

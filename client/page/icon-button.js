/** Buttons that are a drawing with a name. */

import { copied } from "./copied.js";
import { h } from "./element.js";
import { icon } from "./icon.js";

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
  const button = iconButton("copy", "Copy", async () => {
    if (!(await copied(text()))) return;
    named("check", "Copied");
    setTimeout(() => named("copy", "Copy"), SAID_MS);
  });
  const named = (drawing, label) => {
    button.replaceChildren(icon(drawing));
    button.title = label;
    button.setAttribute("aria-label", label);
  };
  return button;
}

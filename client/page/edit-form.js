/** A question that is written anew, in its place. */

import { h, sends } from "./element.js";
import { words } from "./words.js";

/**
 * @param {string} text
 * @param {(text: string) => void} save
 * @param {() => void} close
 * @param {string} [label]  of the button that saves
 * @returns {HTMLFormElement}
 */
export function editForm(text, save, close, label = words("send")) {
  const box = h("textarea", { defaultValue: text, value: text, dir: "auto", rows: Math.min(8, text.split("\n").length + 1), "aria-label": words("edit_message") });
  box.setSelectionRange(text.length, text.length);
  const submit = () => {
    if (!box.value.trim()) return;
    save(box.value);
    close();
  };
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (!sends(event)) return;
    event.preventDefault();
    submit();
  });
  const form = h("form", { class: "edit-form" }, box,
    h("button", { type: "submit" }, label),
    h("button", { type: "button", class: "quiet", onclick: close }, words("cancel")));
  form.addEventListener("submit", (event) => (event.preventDefault(), submit()));
  form.addEventListener("focusin", () => form.scrollIntoView({ block: "nearest" }), { once: true }); // with its buttons
  return form;
}

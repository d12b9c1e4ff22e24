/** A question that comes before anything else. */

import { h } from "./element.js";
import { words } from "./words.js";

/**
 * @param {HTMLElement} container  which the question is put into
 * @param {string} title
 * @param {{said?: string, value?: string, yes: string, grave?: boolean}} question  `value`: what a
 *   text field begins with; without it there is no field. `grave`: what is done cannot be undone
 * @returns {Promise<string | null>} the text, or "" without a field; null: rather not
 */
export function ask(container, title, { said = "", value, yes, grave = false }) {
  return new Promise((resolve) => {
    const field = value === undefined ? [] : [h("input", { value, maxLength: 120, required: true, "aria-label": title })];
    const close = (answer) => {
      resolve(answer);
      dialog.close(); // focus goes back to where it was
      dialog.remove();
    };
    const onsubmit = (event) => {
      event.preventDefault();
      close(field[0]?.value ?? "");
    };
    const cancel = h("button", { type: "button", onclick: () => close(null) }, words("cancel"));
    const confirm = h("button", { type: "submit", class: grave ? "grave" : "primary" }, yes);
    const dialog = h("dialog", { class: "ask", "aria-label": title, oncancel: () => close(null) },
      h("form", { onsubmit }, h("h2", {}, title), h("p", {}, said), ...field, h("div", { class: "actions" }, cancel, confirm)));
    container.append(dialog);
    dialog.showModal();
    field[0]?.select();
    if (grave) cancel.focus();
  });
}

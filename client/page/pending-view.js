/** A message that the server has not confirmed yet, or has refused. */

import { h } from "./element.js";
import { FileList } from "./file-list.js";
import { clock } from "./format.js";

export class PendingView {
  #text = h("div", { class: "text" });
  #files = new FileList();
  #hint = h("span", { class: "hint" });
  #retry;
  #edit;
  #drop;
  #entry;
  element = h("article", { class: "message user pending", "aria-label": "You, not sent yet" }, this.#text, this.#files.element);

  constructor(actions) {
    const button = (label, act) =>
      h("button", { type: "button", class: "quiet", onclick: () => act(this.#entry) }, label);
    this.#retry = button("Try again", ({ client_msg_id }) => actions.retry(client_msg_id));
    this.#edit = button("Edit", actions.edit);
    this.#drop = button("Discard", ({ client_msg_id }) => actions.drop(client_msg_id));
    this.element.append(h("div", { class: "aside" }, this.#hint, this.#retry, this.#edit, this.#drop));
  }

  update(entry) {
    const { text, options, status, error, retry_at } = entry;
    this.#entry = entry;
    this.#text.textContent = text;
    this.#files.update(options?.files);
    this.element.dataset.status = status;
    const later = status === "waiting" && retry_at ? ` It is sent again at ${clock(retry_at)}.` : "";
    this.#hint.textContent = error ? error.message + later : status === "waiting" ? "Not sent yet" : "Sending…";
    this.#retry.hidden = !error || status === "sending" || error.code === "too_large";
    this.#edit.hidden = status !== "failed";
    this.#drop.hidden = status !== "failed" && !error;
  }
}

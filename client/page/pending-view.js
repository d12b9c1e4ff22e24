/** A message that the server has not confirmed yet, or has refused. */

import { h } from "./element.js";
import { FileList } from "./file-list.js";
import { clock } from "./format.js";
import { untilLoaded } from "./until-loaded.js";
import { problem, words } from "./words.js";

export class PendingView {
  #text = h("div", { class: "text", dir: "auto" });
  #files = new FileList();
  #hint = h("span", { class: "hint" });
  #retry;
  #edit;
  #drop;
  #entry;
  element = h("article", { class: "message user pending", part: "message question", "aria-label": words("you_unsent") }, this.#text, this.#files.element);

  constructor(actions) {
    const button = (label, act) =>
      h("button", { type: "button", class: "quiet", onclick: () => act(this.#entry) }, label);
    this.#retry = button(words("try_again"), ({ client_msg_id }) => actions.retry(client_msg_id));
    this.#edit = button(words("edit"), (entry) => (entry.options?.replaces ? this.#reword(actions) : actions.edit(entry)));
    this.#drop = button(words("discard"), ({ client_msg_id }) => actions.drop(client_msg_id));
    this.element.append(h("div", { class: "aside" }, this.#hint, this.#retry, this.#edit, this.#drop));
  }

  update(entry) {
    const { text, options, status, error, retry_at } = entry;
    this.#entry = entry;
    this.#text.textContent = text;
    this.#files.update(options?.files);
    this.element.dataset.status = status;
    const later = status === "waiting" && retry_at;
    const why = error && ended(problem(error));
    const said = later ? words("sent_again", { why, time: clock(retry_at) }) : why;
    this.#hint.textContent = error ? said : words(status === "waiting" ? "not_sent_yet" : "sending");
    this.#retry.hidden = !error || status === "sending" || error.code === "too_large";
    this.#edit.hidden = this.#drop.hidden = status !== "failed" && status !== "waiting";
  }

  /** What takes the place of a question is written anew in its own. */
  async #reword(actions) {
    const { editForm } = await untilLoaded(() => import("./edit-form.js"));
    if (!this.#text.isConnected) return;
    const { client_msg_id, text, options: { replaces, files } } = this.#entry;
    const save = (better) => {
      actions.drop(client_msg_id);
      actions.replace(replaces, better, files);
    };
    const form = editForm(text, save, () => form.replaceWith(this.#text));
    this.#text.replaceWith(form);
    form.querySelector("textarea").focus();
  }
}

/** A sentence with its stop: servers leave it out. */
const ended = (sentence) => (/[.!?…]$/.test(sentence) ? sentence : `${sentence}.`);

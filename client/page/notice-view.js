/** How an answer ended, unless it is whole: what is wrong, and what can be done about it. */

import { h } from "./element.js";
import { problem, wordFor, words } from "./words.js";

const CONTINUABLE = ["interrupted", "incomplete"];
const REFUSED = "content_filter"; // the provider will not answer this message

export class NoticeView {
  #run;
  #words = h("span");
  #continue;
  #again;
  #offers = h("span", { class: "actions" });
  #box = h("div", { class: "notice" }, this.#words, this.#offers);
  element = h("div", { class: "notice-slot" });

  /** @param {import("./transcript.js").Actions} [actions] */
  constructor(actions) {
    if (!actions) return;
    const button = (label, act) => h("button", { type: "button", onclick: () => act(this.#run.run_id) }, label);
    this.#continue = button(words("continue"), actions.continue);
    this.#again = button(words("try_again"), actions.regenerate);
  }

  /**
   * @param {import("../reducer.js").Run} run
   * @param {boolean} latest  no other answer follows
   * @param {boolean} quiet  nothing runs
   */
  update(run, latest, quiet) {
    this.#run = run;
    const { done, run_ids } = run;
    if (!done || done.status === "completed") return this.#box.remove();
    if (!this.#box.parentNode) this.element.append(this.#box);
    const { status, error } = done;
    const words = sentence(status, error);
    this.#box.dataset.status = status;
    if (this.#words.textContent !== words) this.#words.textContent = words;
    if (!this.#again) return;
    // A failure to continue an answer leaves it as it was.
    const open = latest && (CONTINUABLE.includes(status) || run_ids.length > 1);
    const refused = error?.code === REFUSED;
    const offers = [
      ...(open && !refused && error?.code !== "invalid_value" ? [this.#continue] : []),
      ...(refused ? [] : [this.#again]),
    ];
    for (const button of offers) button.disabled = !quiet;
    this.#offers.replaceChildren(...offers);
  }
}

function sentence(status, error) {
  if (error?.code === REFUSED) return words("not_answered", { why: problem(error) });
  if (error?.code === "invalid_value") return words("other_form", { why: problem(error) });
  const text = wordFor(`notice_${status}`, words("answer_ended", { status }));
  return error && ["failed", "limit"].includes(status) ? `${text} ${problem(error)}` : text;
}

/** The messages that wait for the answer under way, above the box: edited, sent at once, or dropped. */

import { h } from "./element.js";
import { iconButton } from "./icon-button.js";
import { arrange, sync } from "./keyed.js";
import { untilLoaded } from "./until-loaded.js";
import { words } from "./words.js";

export class QueueView {
  #list;
  #actions;
  #chips = new Map(); // run_id → Chip
  #forget;

  /**
   * @param {HTMLElement} list
   * @param {object} actions
   * @param {(run_id: string, text: string) => void} actions.edit
   * @param {(run_id: string) => void} actions.now  in place of the answer under way
   * @param {(run_id: string) => void} actions.drop
   * @param {() => void} actions.left  the keyboard's focus has nothing here any more
   * @param {(view: {element: HTMLElement}) => void} forget  told of each that goes
   */
  constructor(list, actions, forget) {
    this.#list = list;
    this.#actions = actions;
    this.#forget = forget;
  }

  /** @param {import("../reducer.js").Run[]} waiting */
  update(waiting) {
    const focused = this.#list.matches(":focus-within");
    const elements = sync(this.#chips, waiting, (run) => run.run_id, () => new Chip(this.#actions), (chip, run) => chip.update(run), this.#forget);
    arrange(this.#list, elements);
    this.#list.hidden = !waiting.length;
    if (focused && !this.#list.matches(":focus-within")) this.#actions.left();
  }
}

class Chip {
  #run;
  #text = h("span", { class: "waiting-text", dir: "auto" });
  #buttons;
  element;

  constructor(actions) {
    const button = (drawing, label, act) => iconButton(drawing, label, () => act(this.#run.run_id));
    this.#buttons = h("span", { class: "buttons" },
      iconButton("edit", words("edit"), () => this.#edit(actions)),
      button("top", words("send_now"), actions.now),
      button("cross", words("drop"), actions.drop));
    this.element = h("li", {}, this.#text, this.#buttons);
  }

  update(run) {
    this.#run = run;
    const files = run.user?.files?.map(({ name }) => name).join(", ");
    const words = run.user?.text || files || "";
    if (this.#text.textContent !== words) this.#text.textContent = words;
  }

  async #edit(actions) {
    const { editForm } = await untilLoaded(() => import("./edit-form.js"));
    if (this.#text.hidden) return;
    const form = editForm(this.#run.user?.text ?? "", (text) => actions.edit(this.#run.run_id, text), () => {
      form.remove();
      this.#text.hidden = this.#buttons.hidden = false;
      this.#buttons.firstChild.focus();
    }, words("save"));
    this.#text.hidden = this.#buttons.hidden = true;
    this.element.append(form);
    form.querySelector("textarea").focus();
  }
}

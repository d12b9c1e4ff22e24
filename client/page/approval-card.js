/** What a person is asked before a tool call is made, and how long there is for it. */

import { h } from "./element.js";
import { lasting } from "./format.js";
import { ValueView } from "./value-view.js";
import { phrase, words } from "./words.js";

export class ApprovalCard {
  #call;
  #decide;
  #sentence = h("p", { class: "sentence" });
  #arguments = new ValueView(words("arguments"));
  #left = h("span", { class: "hint" });
  #ticking;
  #edited = h("textarea", { hidden: true, rows: 5, "aria-label": words("arguments_json") });
  #edit = h("button", { type: "button", class: "quiet", onclick: () => this.#change() }, words("edit"));
  #reason = h("input", { maxLength: 500, placeholder: words("why_not"), "aria-label": words("reason") });
  #denial = h("form", { class: "actions", hidden: true }, this.#reason,
    h("button", { type: "submit" }, words("deny")),
    h("button", { type: "button", class: "quiet", onclick: () => this.#explain(false) }, words("cancel")));
  #why = h("button", { type: "button", class: "quiet", onclick: () => this.#explain(true) }, words("deny_why"));
  #answers = h("div", { class: "actions" },
    h("button", { type: "button", class: "primary", onclick: () => this.#approve() }, words("approve")),
    h("button", { type: "button", onclick: () => this.#decide("deny") }, words("deny")),
    this.#why, this.#edit, this.#left);
  element = h("div", { class: "approval", part: "approval", role: "group", "aria-label": words("approval"), hidden: true },
    this.#sentence, this.#arguments.element, this.#edited, this.#answers, this.#denial);

  /** @param {import("./transcript.js").Actions} actions */
  constructor(actions) {
    this.#decide = (...decision) => actions.approve(this.#call.tool_call_id, ...decision);
    this.#denial.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#decide("deny", this.#reason.value.trim() || undefined);
    });
  }

  /**
   * @param {import("../reducer.js").ToolCall | null} call  null: nothing is asked
   * @param {string} does  what the call does, in words
   * @param {string} by  by whom it is asked for, in words; "": by the reader
   */
  update(call, does, by) {
    this.element.hidden = !call;
    if (!call) return this.#stop();
    this.#call = call;
    this.#sentence.replaceChildren(...phrase(by ? "allow_asked" : "allow", { call: h("strong", {}, does), by }));
    const { approval } = call;
    const whole = approval?.defaults ? { ...call.arguments, ...approval.defaults } : call.arguments;
    this.#arguments.update(whole, Object.keys(approval?.defaults ?? {}));
    this.#edit.hidden = !call.approval?.editable;
    this.#ticking ??= setInterval(() => (this.element.isConnected ? this.#tick() : this.#stop()), 1000);
    this.#tick();
  }

  #tick() {
    const seconds = ((this.#call.approval?.expires_at ?? 0) - Date.now()) / 1000;
    const rounded = seconds > 90 ? Math.round(seconds / 60) * 60 : Math.max(0, Math.round(seconds));
    const left = words("left", { time: lasting(rounded) });
    if (this.#left.textContent !== left) this.#left.textContent = left;
  }

  #stop() {
    clearInterval(this.#ticking);
    this.#ticking = undefined;
  }

  #approve() {
    this.#decide("approve", undefined, this.#edited.hidden ? undefined : this.#edited.value);
  }

  #change() {
    this.#edited.hidden = false;
    const { arguments: given, approval } = this.#call;
    this.#edited.value = JSON.stringify({ ...given, ...approval?.defaults }, null, 2);
    this.#edited.focus();
  }

  #explain(open) {
    this.#denial.hidden = !open;
    this.#answers.hidden = open;
    (open ? this.#reason : this.#why).focus();
  }
}

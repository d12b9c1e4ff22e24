/** What a person is asked before a tool call is made, and how long there is for it. */

import { h, text } from "./element.js";
import { lasting } from "./format.js";
import { ValueView } from "./value-view.js";
import { phrase, words } from "./words.js";

const MOST = 16; // rows of the box

export class ApprovalCard {
  #call;
  #decide;
  #sentence = h("p", { class: "sentence" });
  #arguments = new ValueView(words("arguments"));
  #left = h("span", { class: "hint" });
  #ticking;
  #wrong = h("p", { role: "alert", hidden: true });
  #edited = h("textarea", {
    hidden: true, "aria-label": words("arguments_json"), oninput: () => this.#written(),
  });
  #edit = h("button", { type: "button", class: "quiet", "aria-expanded": "false", onclick: () => this.#change(this.#edited.hidden) }, words("edit"));
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
    this.#sentence, this.#arguments.element, this.#edited, this.#wrong, this.#answers, this.#denial);

  /** @param {import("./transcript.js").Actions} actions */
  constructor(actions) {
    this.#decide = (...decision) => actions.approve(this.#call.tool_call_id, ...decision);
    this.#edited.addEventListener("keydown", ({ key }) => key === "Escape" && this.#change(false));
    this.#denial.addEventListener("keydown", ({ key }) => key === "Escape" && this.#explain(false));
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
    this.#arguments.update(whole(call), Object.keys(approval?.defaults ?? {}));
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
    if (this.#edited.hidden) return this.#decide("approve");
    try {
      const edited = JSON.parse(this.#edited.value);
      this.#decide("approve", undefined, same(edited, whole(this.#call)) ? undefined : edited);
    } catch {
      this.#tell(words("not_json"));
      this.#edited.focus();
    }
  }

  #change(open) {
    this.#edited.hidden = !open;
    this.#edit.setAttribute("aria-expanded", String(open));
    this.#edited.value = open ? JSON.stringify(whole(this.#call), null, 2) : "";
    this.#edited.rows = 3;
    this.#written();
    (open ? this.#edited : this.#edit).focus();
    this.#edited.scrollTop = 0; // its end has the caret
  }

  /** As high as its text; what was wrong with it is no more. */
  #written() {
    const box = this.#edited;
    while (box.scrollHeight > box.clientHeight && box.rows < MOST) box.rows += 1;
    this.#tell("");
  }

  #tell(wrong) {
    text(this.#wrong, wrong);
    this.#edited.setAttribute("aria-invalid", String(Boolean(wrong)));
    this.#edited.setAttribute("aria-description", wrong);
  }

  #explain(open) {
    this.#denial.hidden = !open;
    this.#answers.hidden = open;
    (open ? this.#reason : this.#why).focus();
  }
}

/** All that a call is made with. */
const whole = ({ arguments: given, approval }) => (approval?.defaults ? { ...given, ...approval.defaults } : given);

/** Whether two values are one as JSON. */
function same(one, other) {
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return one === other;
  const keys = Object.keys(one);
  return Array.isArray(one) === Array.isArray(other) && keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && same(one[key], other[key]));
}

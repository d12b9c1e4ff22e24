/** One tool call as a line that opens, with its files, its progress and what a person is asked about it. */

import { h } from "./element.js";
import { FileList } from "./file-list.js";
import { lasting } from "./format.js";
import { icon } from "./icon.js";
import { untilLoaded } from "./until-loaded.js";
import { ValueView } from "./value-view.js";
import { wordFor, words } from "./words.js";

const DRAWN = { completed: "check", awaiting_approval: "question", failed: "cross", denied: "cross", expired: "cross", cancelled: "cross" };
export const UNDER_WAY = ["streaming", "ready", "awaiting_client", "running"];
const NOT_MADE = ["denied", "expired"]; // the line says it all

export class ToolCard {
  #call = {};
  #began; // ms, where the beginning was seen
  #took;
  #files;
  #asked; // [call, what it does, by whom], while a person is asked
  #approval; // comes with the first call
  #preparing;
  #actions;
  #mark = h("span", { class: "tool-mark" });
  #words = h("span", { class: "tool-words", dir: "auto" });
  #status = h("span", { class: "tool-status" });
  #name = h("code", { class: "tool-name" });
  #arguments = new ValueView(words("arguments"));
  #result = new ValueView(words("result"));
  #whole = h("button", { type: "button", class: "quiet", hidden: true }, words("save_result"));
  #bar = h("progress", { max: 1, "aria-label": words("progress") });
  #doing = h("span");
  #progress = h("p", { class: "tool-progress", hidden: true }, this.#bar, this.#doing);
  element = h("section", { class: "tool-card", part: "tool", role: "group", tabIndex: -1 },
    h("details", {},
      h("summary", {}, this.#mark, this.#words, this.#status),
      h("div", { class: "inside" }, this.#name, this.#arguments.element, this.#result.element, this.#whole)),
    this.#progress);

  /** @param {import("./transcript.js").Actions} [actions] @param {import("./file-list.js").Url} [url] */
  constructor(actions, url) {
    this.#files = new FileList(url);
    this.#progress.before(this.#files.element);
    this.#actions = actions;
    this.#whole.onclick = () => actions.save(this.#call); // hidden without any
  }

  /**
   * @param {import("../reducer.js").ToolCall} call
   * @param {{progress?: {fraction?: number, message?: string}, by: (user_id: string) => string,
   *   mine: (user_id: string) => boolean, decides: (approval: object) => boolean, writable: boolean}} more
   *   `by`: by whom, in words; `mine`: whether it is the reader; `decides`: whether the reader may decide
   */
  update(call, { progress, by, mine, decides, writable }) {
    if (call.status !== this.#call.status) this.#turn(call.status);
    this.#call = call;
    const { name, status, error, approval } = call;
    Object.assign(this.element.dataset, { status, toolCallId: call.tool_call_id });
    this.element.setAttribute("aria-label", words("tool_call", { call: inWords(name) }));
    this.#words.textContent = inWords(name);
    this.#name.textContent = name;
    this.#status.textContent = stateLine(call, by, mine) + (this.#took ?? "");
    this.#arguments.update(call.arguments);
    this.#result.update(NOT_MADE.includes(status) ? null : error ? `${error.message} (${error.code})` : call.output);
    this.#files.update(call.files);
    this.#whole.hidden = !writable || !call.output_ref;
    this.#ask(writable && status === "awaiting_approval" && decides(approval ?? {}), asker(call, by, mine));
    this.#progress.hidden = !progress || status !== "running";
    if (this.#progress.hidden) return;
    if (typeof progress.fraction === "number") this.#bar.value = progress.fraction;
    else this.#bar.removeAttribute("value"); // how far is not known
    this.#doing.textContent = progress.message ?? "";
  }

  #turn(status) {
    const drawn = DRAWN[status];
    const mark = UNDER_WAY.includes(status) ? [h("span", { class: "spinner" })] : drawn ? [icon(drawn)] : [];
    this.#mark.replaceChildren(...mark);
    if (status === "running") this.#began ??= performance.now();
    else if (drawn && this.#began) this.#took = `, ${lasting((performance.now() - this.#began) / 1000)}`;
  }

  #ask(asks, by) {
    this.#asked = asks ? [this.#call, inWords(this.#call.name), by] : [null];
    if (!asks && this.#approval?.element.matches(":focus-within")) this.element.focus(); // not lost
    if (this.#approval) this.#approval.update(...this.#asked);
    else if (this.#actions && (asks || UNDER_WAY.includes(this.#call.status))) this.#preparing ??= this.#prepare(); // by the time that it asks
  }

  async #prepare() {
    const { ApprovalCard } = await untilLoaded(() => import("./approval-card.js"));
    this.#approval = new ApprovalCard(this.#actions);
    this.element.append(this.#approval.element);
    this.#approval.update(...this.#asked);
  }
}

/** A function's name as words: `send_invoice` → "Send invoice". */
export function inWords(name) {
  const words = name.replace(/[_\-.\s]+/g, " ").trim() || name;
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** By whom it is asked for, in words, where that is not the reader. Older servers do not say. */
const asker = ({ approval }, by, mine) => (!approval?.asked_by || mine(approval.asked_by) ? "" : by(approval.asked_by));

/** The state, and what others did: who asked, who decided. */
function stateLine(call, by, mine) {
  const { status, approval, hosted } = call;
  const made = wordFor(`tool_${status}`, status);
  const state = hosted ? words("hosted", { state: made }) : made;
  if (status === "awaiting_approval") return asker(call, by, mine) ? words("asked_by", { state, by: asker(call, by, mine) }) : state;
  if (!approval?.decided_by) return state;
  const way = status === "denied" ? "denied_by" : approval.edited_by ? "edited_by" : "approved_by";
  return words(way, { state, by: by(approval.decided_by) }) + (approval.reason ? `: ${approval.reason}` : "");
}

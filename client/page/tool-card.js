/** One tool call as a line that opens, with its files, its progress and what a person is asked about it. */

import { ApprovalCard } from "./approval-card.js";
import { h } from "./element.js";
import { FileList } from "./file-list.js";
import { lasting } from "./format.js";
import { icon } from "./icon.js";
import { ValueView } from "./value-view.js";

const STATUS = {
  streaming: "being written",
  ready: "ready",
  awaiting_approval: "waits for approval",
  awaiting_client: "waits for a device",
  running: "running",
  completed: "completed",
  failed: "failed",
  denied: "denied",
  expired: "expired: nobody decided in time",
  cancelled: "cancelled",
};

const DRAWN = { completed: "check", awaiting_approval: "question", failed: "cross", denied: "cross", expired: "cross", cancelled: "cross" };
const UNDER_WAY = ["streaming", "ready", "awaiting_client", "running"];
const NOT_MADE = ["denied", "expired"]; // the line says it all

export class ToolCard {
  #call = {};
  #began; // ms, where the beginning was seen
  #took;
  #files;
  #approval;
  #mark = h("span", { class: "mark" });
  #words = h("span", { class: "tool-words" });
  #status = h("span", { class: "tool-status" });
  #name = h("code", { class: "tool-name" });
  #arguments = new ValueView("Arguments");
  #result = new ValueView("Result");
  #whole = h("button", { type: "button", class: "quiet", hidden: true }, "Save the whole result");
  #bar = h("progress", { max: 1, "aria-label": "Progress" });
  #doing = h("span");
  #progress = h("p", { class: "tool-progress", hidden: true }, this.#bar, this.#doing);
  element = h("section", { class: "tool-card", "aria-label": "Tool call", tabIndex: -1 },
    h("details", {},
      h("summary", {}, this.#mark, this.#words, this.#status),
      h("div", { class: "inside" }, this.#name, this.#arguments.element, this.#result.element, this.#whole)),
    this.#progress);

  /** @param {import("./transcript.js").Actions} [actions] @param {import("./file-list.js").Url} [url] */
  constructor(actions, url) {
    this.#files = new FileList(url);
    this.#progress.before(this.#files.element);
    if (!actions) return;
    this.#approval = new ApprovalCard(actions);
    this.element.append(this.#approval.element);
    this.#whole.onclick = () => actions.save(this.#call);
  }

  /**
   * @param {import("../reducer.js").ToolCall} call
   * @param {{progress?: {fraction?: number, message?: string}, who: (user_id: string) => string,
   *   decides: (approval: object) => boolean, writable: boolean}} more
   *   `who`: a user in words; `decides`: whether the reader may decide
   */
  update(call, { progress, who, decides, writable }) {
    if (call.status !== this.#call.status) this.#turn(call.status);
    this.#call = call;
    const { name, status, error, approval } = call;
    Object.assign(this.element.dataset, { status, toolCallId: call.tool_call_id });
    this.#words.textContent = inWords(name);
    this.#name.textContent = name;
    this.#status.textContent = stateLine(call, who) + (this.#took ?? "");
    this.#arguments.update(call.arguments);
    this.#result.update(NOT_MADE.includes(status) ? null : error ? `${error.message} (${error.code})` : call.output);
    this.#files.update(call.files);
    this.#whole.hidden = !writable || !call.output_ref;
    this.#ask(writable && status === "awaiting_approval" && decides(approval ?? {}), who);
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

  #ask(asks, who) {
    const question = this.#approval?.element;
    if (!asks && question?.contains(document.activeElement)) this.element.focus(); // not lost
    this.#approval?.update(asks ? this.#call : null, inWords(this.#call.name), asker(this.#call, who));
  }
}

/** A function's name as words: `send_invoice` → "Send invoice". */
export function inWords(name) {
  const words = name.replace(/[_\-.\s]+/g, " ").trim() || name;
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Older servers do not say who asked. */
const asker = ({ approval }, who) => (approval?.asked_by ? who(approval.asked_by) : "you");

/** The state, and what others did: who asked, who decided. */
function stateLine(call, who) {
  const { status, approval, hosted } = call;
  const state = (STATUS[status] ?? status) + (hosted ? ", by the model's provider" : "");
  if (status === "awaiting_approval") return asker(call, who) === "you" ? state : `${state}, asked for by ${asker(call, who)}`;
  if (!approval?.decided_by) return state;
  const by = ` by ${who(approval.decided_by)}${approval.reason ? `: ${approval.reason}` : ""}`;
  return status === "denied" ? state + by : `${state}, ${approval.edited_by ? "edited and " : ""}approved${by}`;
}

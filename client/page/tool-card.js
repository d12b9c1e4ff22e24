/** One tool call: its name, arguments, state and result, and what a person is asked about it. */

import { h } from "./element.js";
import { FileList } from "./file-list.js";
import { clock } from "./format.js";

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

export class ToolCard {
  #call;
  #files;
  #name = h("span", { class: "tool-name" });
  #status = h("span", { class: "tool-status" });
  #bar = h("progress", { max: 1, "aria-label": "Progress" });
  #doing = h("span");
  #progress = h("p", { class: "tool-progress", hidden: true }, this.#bar, this.#doing);
  #arguments = new Field("Arguments");
  #result = new Field("Result");
  #whole = h("button", { type: "button", class: "quiet", hidden: true }, "Save the whole result");
  #reason = h("input", { placeholder: "Reason, if you like", "aria-label": "Reason" });
  #edited = h("textarea", { hidden: true, rows: 5, "aria-label": "Arguments as JSON" });
  #edit = h("button", { type: "button", class: "quiet", onclick: () => this.#change() }, "Edit");
  #question = h("div", { class: "approval actions", hidden: true }, this.#edited, this.#reason);
  element = h(
    "section",
    { class: "tool-card", "aria-label": "Tool call", tabIndex: -1 },
    h("header", {}, this.#name, this.#status),
    this.#arguments.element,
    this.#progress,
    this.#result.element,
    this.#whole,
    this.#question,
  );

  /** @param {import("./transcript.js").Actions} [actions] @param {import("./file-list.js").Url} [url] */
  constructor(actions, url) {
    this.#files = new FileList(url);
    this.#whole.before(this.#files.element);
    if (!actions) return;
    for (const [decision, label] of [["approve", "Approve"], ["deny", "Deny"]]) {
      const edited = () => (decision === "approve" && !this.#edited.hidden ? this.#edited.value : undefined);
      const onclick = () =>
        actions.approve(this.#call.tool_call_id, decision, this.#reason.value.trim() || undefined, edited());
      this.#question.append(h("button", { type: "button", onclick, data: { decision } }, label));
    }
    this.#question.append(this.#edit);
    this.#whole.onclick = () => actions.save(this.#call);
  }

  #change() {
    this.#edited.hidden = false;
    this.#edited.value = JSON.stringify(this.#call.arguments, null, 2);
    this.#edited.focus();
  }

  /**
   * @param {import("../reducer.js").ToolCall} call
   * @param {{progress?: {fraction?: number, message?: string}, who: (user_id: string) => string,
   *   decides: (approval: object) => boolean, writable: boolean}} more
   *   `who`: a user in words; `decides`: whether the reader may decide
   */
  update(call, { progress, who, decides, writable }) {
    const asks = writable && call.status === "awaiting_approval" && decides(call.approval ?? {});
    this.#call = call;
    Object.assign(this.element.dataset, { status: call.status, toolCallId: call.tool_call_id });
    this.#name.textContent = call.name;
    this.#status.textContent = stateLine(call, who);
    this.#arguments.update(call.arguments);
    this.#result.update(call.error ? `${call.error.message} (${call.error.code})` : call.output);
    this.#files.update(call.files);
    this.#whole.hidden = !writable || !call.output_ref;
    if (!asks && this.#question.contains(document.activeElement)) this.element.focus(); // not lost
    this.#question.hidden = !asks;
    this.#edit.hidden = !call.approval?.editable;
    this.#progress.hidden = !progress || call.status !== "running";
    if (this.#progress.hidden) return;
    if (typeof progress.fraction === "number") this.#bar.value = progress.fraction;
    else this.#bar.removeAttribute("value"); // how far is not known
    this.#doing.textContent = progress.message ?? "";
  }
}

/** The state, until when a decision is waited for, and what others did: who asked, who decided. */
function stateLine({ status, approval, hosted }, who) {
  const state = (STATUS[status] ?? status) + (hosted ? ", by the model's provider" : "");
  if (status === "awaiting_approval" && approval) {
    const asker = approval.asked_by ? who(approval.asked_by) : "you"; // older servers do not say it
    return `${state} until ${clock(approval.expires_at)}${asker === "you" ? "" : `, asked for by ${asker}`}`;
  }
  if (!approval?.decided_by) return state;
  const by = ` by ${who(approval.decided_by)}${approval.reason ? `: ${approval.reason}` : ""}`;
  return status === "denied" ? state + by : `${state}, ${approval.edited_by ? "edited and " : ""}approved${by}`;
}

/** A value of unknown shape under a heading, as text. Nothing to show: nothing shown. */
class Field {
  #pre = h("pre", { tabIndex: 0, role: "group" });

  constructor(label) {
    this.element = h("details", { open: true, hidden: true }, h("summary", {}, label), this.#pre);
    this.#pre.setAttribute("aria-label", label);
  }

  update(value) {
    this.element.hidden = value === undefined || value === null;
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    if (this.#pre.textContent !== text) this.#pre.textContent = text ?? "";
  }
}

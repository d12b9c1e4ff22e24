/** One exchange: the question, the answer with its tool calls, and how it ended. */

import { h } from "./element.js";
import { lasting } from "./format.js";
import { MarkdownView } from "./markdown-view.js";
import { ToolCard } from "./tool-card.js";

const NOTICES = {
  quota_exceeded: "The model's quota is used up. Nothing was lost; you can try again later.",
  interrupted: "The answer was interrupted. What had arrived is kept.",
  incomplete: "The answer is not complete: the model stopped before its end.",
  cancelled: "Stopped.",
  limit: "A limit was reached, and the answer ends here.",
  failed: "The answer failed.",
};

const CONTINUABLE = ["interrupted", "incomplete"];

export class RunView {
  #actions;
  #run;
  #latest;
  #parts = [];
  #said = h("div", { class: "text" });
  #queued = h("div", { class: "aside", hidden: true }, h("span", { class: "badge" }, "Queued"));
  #user = h("article", { class: "message user", "aria-label": "You" }, this.#said, this.#queued);
  #thought = h("div", { class: "text" });
  #reasoning = h("details", { class: "reasoning", hidden: true }, h("summary", {}, "Reasoning"), this.#thought);
  #body = h("div", { class: "parts" });
  #sources = h("ol", { class: "sources", "aria-label": "Sources", hidden: true });
  #state = h("p", { class: "run-state" });
  #changed = h("p", { class: "run-state", hidden: true });
  #answer = h("article", { class: "message assistant", "aria-label": "Assistant" }, this.#reasoning, this.#body, this.#sources, this.#changed, this.#state);
  #notice = h("div", { class: "notice-slot" });
  element = h("section", { class: "run" }, this.#user, this.#answer, this.#notice);

  constructor(actions) {
    this.#actions = actions;
    if (!actions) return;
    const onclick = () => actions.stop(this.#run.run_id);
    this.#queued.append(h("button", { type: "button", class: "quiet", onclick }, "Remove"));
  }

  update(run, latest, progress, people) {
    const working = run.message.parts.some((part) => part.call?.status === "running");
    if (run === this.#run && latest === this.#latest && !working) return;
    if (run.message.sources !== this.#run?.message.sources) this.#cite(run.message.sources);
    const ended = run.done !== this.#run?.done || latest !== this.#latest;
    this.#run = run;
    this.#latest = latest;
    this.element.dataset.runId = run.run_id;
    this.#user.hidden = !run.user;
    if (run.user && this.#said.textContent !== run.user.text) this.#said.textContent = run.user.text;
    this.#queued.hidden = run.begun;
    this.#drawAnswer(run, progress, people);
    if (ended) this.#notice.replaceChildren(...this.#notices(run, latest));
  }

  #drawAnswer({ message, begun, status, note, fallback, done }, progress, people) {
    const { parts, reasoning } = message;
    this.#answer.dataset.status = status;
    this.#answer.dataset.messageId = message.message_id;
    this.#answer.setAttribute("aria-busy", String(begun && !done));
    this.#reasoning.hidden = !reasoning;
    if (this.#thought.textContent !== reasoning) this.#thought.textContent = reasoning;
    parts.forEach((part, index) => {
      if (this.#parts[index]?.type !== part.type) this.#rebuild(index, part.type);
      const { view } = this.#parts[index];
      if (part.type === "text") view.update(part.text, Boolean(done) || index < parts.length - 1);
      else view.update(part.call, { ...people, progress: progress.get(part.call.tool_call_id), writable: Boolean(this.#actions) });
    });
    this.#rebuild(parts.length);
    const line = done || !begun ? "" : stateLine(note, parts);
    if (this.#state.textContent !== line) this.#state.textContent = line;
    this.#state.hidden = !line;
    this.#changed.textContent = fallback ? changed(fallback) : "";
    this.#changed.hidden = !fallback;
    this.#answer.hidden = !parts.length && !reasoning && !line && !fallback;
  }

  /** What the answer cites, each page once, as numbered links. */
  #cite(sources) {
    const known = new Map();
    for (const source of sources) {
      const key = source.url ?? source.file_id;
      known.set(key, { ...source, ...known.get(key) });
    }
    this.#sources.hidden = !known.size;
    this.#sources.replaceChildren(...[...known.values()].map(({ url, title, file_id }) => {
      const words = title ?? url ?? file_id;
      const link = /^https?:/.test(url ?? "") ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, words) : words;
      return h("li", {}, link);
    }));
  }

  /** Drop the parts from `index` on, and begin one of `type` there. */
  #rebuild(index, type) {
    for (const { view } of this.#parts.splice(index)) view.element.remove();
    if (!type) return;
    const view = type === "text" ? new MarkdownView() : new ToolCard(this.#actions);
    this.#parts.push({ type, view });
    this.#body.append(view.element);
  }

  #notices({ done, run_id, run_ids }, latest) {
    if (!done || done.status === "completed") return [];
    const { status, error } = done;
    const refused = error?.code === "content_filter";
    const unfit = error?.code === "invalid_value";
    const text = refused ? "Not answered:" : unfit ? "The answer has another form than was asked for:" : (NOTICES[status] ?? `The answer ended: ${status}.`);
    const detail = error && (refused || unfit || ["failed", "limit"].includes(status)) ? ` ${error.message}` : "";
    const notice = h("div", { class: "notice", data: { status } }, h("span", {}, text + detail));
    // A failure to continue an answer leaves it as it was.
    const open = CONTINUABLE.includes(status) || run_ids.length > 1;
    if (this.#actions && latest && open && !refused && !unfit) {
      const onclick = () => this.#actions.continue(run_id);
      notice.append(h("button", { type: "button", onclick }, "Continue"));
    }
    return [notice];
  }
}

const changed = ({ from_model = "The model", model, reason }) =>
  `${from_model} did not finish${reason ? ` (${reason})` : ""}; ${model} answers instead.`;

function stateLine(note, parts) {
  const reason = note?.reason ? ` (${note.reason})` : "";
  const again = note?.retry_in_ms ? `, next attempt in about ${lasting(note.retry_in_ms / 1000)}` : "";
  if (note?.status === "waiting") return `Waiting for the model${reason}${again}…`;
  if (note?.status === "awaiting_approval") return "Waiting for an approval.";
  return parts.length ? "" : "Thinking…";
}

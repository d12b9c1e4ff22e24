/** The conversation: what was said, in the order of the runs. Redraws only what changed. */

import { clock, lasting } from "./format.js";
import { MarkdownView, h } from "./render.js";
import { ToolCard } from "./tool-card.js";

/**
 * @typedef {object} Actions  what the reader may do; left out in a read-only transcript
 * @property {(run_id: string) => void} stop
 * @property {(run_id: string) => void} continue
 * @property {(tool_call_id: string, decision: "approve" | "deny", reason?: string) => void} approve
 * @property {(call: import("./reducer.js").ToolCall) => void} save  its whole output
 * @property {(client_msg_id: string) => void} retry
 * @property {(client_msg_id: string) => void} drop
 * @property {(entry: import("./outbox.js").Outgoing) => void} edit
 */

export class Transcript {
  #root;
  #actions;
  #runs = new Map(); // key → RunView
  #pending = new Map(); // client_msg_id → {entry, element}

  /** @param {HTMLElement} root @param {Actions} [actions] */
  constructor(root, actions) {
    this.#root = root;
    this.#actions = actions;
  }

  /**
   * @param {import("./reducer.js").State} state
   * @param {{pending?: import("./outbox.js").Outgoing[], progress?: Map<string, object>,
   *   user_id?: string}} [more]  `user_id`: of the reader; by default the owner reads
   */
  update(state, { pending = [], progress = new Map(), user_id: reader = state.user_id } = {}) {
    const people = {
      who: (user_id) => inWords(user_id, state.user_id, reader),
      decides: ({ asked_by }) => [state.user_id, asked_by].includes(reader),
    };
    const said = new Set(state.runs.map((run) => run.user?.client_msg_id));
    const last = state.runs.findLast((run) => run.begun);
    const elements = [
      ...sync(this.#runs, state.runs, (run) => run.run_ids[0], () => new RunView(this.#actions),
        (view, run) => view.update(run, run === last, progress, people)),
      ...sync(this.#pending, pending.filter((entry) => !said.has(entry.client_msg_id)),
        (entry) => entry.client_msg_id, () => new PendingView(this.#actions),
        (view, entry) => view.update(entry)),
    ];
    arrange(this.#root, elements);
  }
}

/** One view for each item, made, updated and forgotten with it. @returns their elements */
function sync(views, items, key, make, update) {
  const kept = new Set(items.map(key));
  for (const [id, view] of views) if (!kept.has(id)) view.element.remove(), views.delete(id);
  return items.map((item) => {
    const id = key(item);
    if (!views.has(id)) views.set(id, make());
    update(views.get(id), item);
    return views.get(id).element;
  });
}

/** Put the children in order, and move none that stands right: moving loses focus and selection. */
function arrange(parent, children) {
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}

const NOTICES = {
  quota_exceeded: "The model's quota is used up. Nothing was lost; you can try again later.",
  interrupted: "The answer was interrupted. What had arrived is kept.",
  incomplete: "The answer is not complete: the model stopped before its end.",
  cancelled: "Stopped.",
  limit: "A limit was reached, and the answer ends here.",
  failed: "The answer failed.",
};

/** @returns {string} how the reader, a user too, knows a user of the session */
export function inWords(user_id, owner, reader) {
  if (user_id === reader) return "you";
  return user_id === owner ? "the owner" : "somebody with the link";
}

const CONTINUABLE = ["interrupted", "incomplete"];

class RunView {
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
  #state = h("p", { class: "run-state" });
  #changed = h("p", { class: "run-state", hidden: true });
  #answer = h("article", { class: "message assistant", "aria-label": "Assistant" }, this.#reasoning, this.#body, this.#changed, this.#state);
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
    const text = refused ? "Not answered:" : (NOTICES[status] ?? `The answer ended: ${status}.`);
    const detail = error && (refused || ["failed", "limit"].includes(status)) ? ` ${error.message}` : "";
    const notice = h("div", { class: "notice", data: { status } }, h("span", {}, text + detail));
    // A failure to continue an answer leaves it as it was.
    const open = CONTINUABLE.includes(status) || run_ids.length > 1;
    if (this.#actions && latest && open && !refused) {
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

/** A message that the server has not confirmed yet, or refused. */
class PendingView {
  #text = h("div", { class: "text" });
  #hint = h("span", { class: "hint" });
  #retry;
  #edit;
  #drop;
  #entry;
  element = h("article", { class: "message user pending", "aria-label": "You, not sent yet" }, this.#text);

  constructor(actions) {
    const button = (label, act) =>
      h("button", { type: "button", class: "quiet", onclick: () => act(this.#entry) }, label);
    this.#retry = button("Try again", ({ client_msg_id }) => actions.retry(client_msg_id));
    this.#edit = button("Edit", actions.edit);
    this.#drop = button("Discard", ({ client_msg_id }) => actions.drop(client_msg_id));
    this.element.append(h("div", { class: "aside" }, this.#hint, this.#retry, this.#edit, this.#drop));
  }

  update(entry) {
    const { text, status, error, retry_at } = entry;
    this.#entry = entry;
    this.#text.textContent = text;
    this.element.dataset.status = status;
    const later = status === "waiting" && retry_at ? ` It is sent again at ${clock(retry_at)}.` : "";
    this.#hint.textContent = error ? error.message + later : status === "waiting" ? "Not sent yet" : "Sending…";
    this.#retry.hidden = !error || status === "sending" || error.code === "too_large";
    this.#edit.hidden = status !== "failed";
    this.#drop.hidden = status !== "failed" && !error;
  }
}

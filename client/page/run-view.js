/** One exchange: the question, the answer with its tool calls, and how it ended. */

import { h } from "./element.js";
import { FileList } from "./file-list.js";
import { lasting } from "./format.js";
import { MarkdownView } from "./markdown-view.js";
import { AnswerBar, QuestionBar } from "./message-bars.js";
import { NoticeView } from "./notice-view.js";
import { ReasoningView } from "./reasoning-view.js";
import { SaidView } from "./said-view.js";
import { ToolCard } from "./tool-card.js";
import { untilLoaded } from "./until-loaded.js";
import { words } from "./words.js";

export class RunView {
  #actions;
  #url;
  #files;
  #run;
  #latest;
  #known; // the branches, as they were drawn
  #parts = [];
  #said = h("div", { class: "text", dir: "auto" });
  #author = h("p", { class: "author", hidden: true });
  #user = h("article", { class: "message user", part: "message question", "aria-label": words("author_you") }, this.#author, this.#said);
  #reasoning = new ReasoningView();
  #body = h("div", { class: "parts" });
  #sources = h("ol", { class: "sources", "aria-label": words("sources"), hidden: true });
  #state = h("p", { class: "run-state" });
  #changed = h("p", { class: "run-state", hidden: true });
  #answer = h("article", { class: "message assistant", part: "message answer", "aria-label": words("assistant") }, this.#reasoning.element, this.#body, this.#sources, this.#changed, this.#state);
  #asked;
  #answered;
  #notice;
  element = h("section", { class: "run" }, this.#user, this.#answer);

  constructor(actions, url) {
    this.#actions = actions;
    this.#url = url;
    this.#files = new FileList(url);
    this.#said.after(this.#files.element);
    this.#asked = new QuestionBar(actions, () => this.#edit());
    this.#answered = new AnswerBar(actions);
    this.#notice = new NoticeView(actions);
    this.#user.after(this.#asked.element);
    this.#answer.after(this.#notice.element, this.#answered.element);
  }

  update(run, latest, progress, people) {
    this.#drawAuthor(run.user, people);
    const working = run.message.parts.some((part) => part.call?.status === "running");
    const same = run === this.#run && latest === this.#latest && people.branches === this.#known;
    if (same && !working) return;
    this.#known = people.branches;
    if (run.message.sources !== this.#run?.message.sources) this.#cite(run.message.sources);
    this.#run = run;
    this.#latest = latest;
    this.element.dataset.runId = run.run_id;
    this.#user.hidden = !run.user;
    if (run.user && this.#said.textContent !== run.user.text) this.#said.textContent = run.user.text;
    this.#said.hidden = !run.user?.text;
    this.#files.update(run.user?.files);
    this.#drawAnswer(run, progress, people);
    this.#asked.update(run, people.branches);
    this.#answered.update(run, people.branches);
    this.#notice.update(run, latest, people.branches.quiet);
  }

  /** Who said it, once there is more than one person. */
  #drawAuthor(user, { several, author }) {
    if (!user || this.#author.hidden === !several) return;
    this.#author.replaceChildren(...(several ? [author(user)] : []));
    this.#author.hidden = !several;
    this.#user.setAttribute("aria-label", several ? this.#author.textContent : words("author_you"));
  }

  #drawAnswer({ message, status, note, fallback, done }, progress, people) {
    const { parts, reasoning } = message;
    this.#answer.dataset.status = status;
    this.#answer.dataset.messageId = message.message_id;
    this.#answer.setAttribute("aria-busy", String(!done));
    this.#reasoning.update(reasoning, !done && !parts.length);
    parts.forEach((part, index) => {
      if (this.#parts[index]?.type !== part.type) this.#rebuild(index, part.type);
      const { view } = this.#parts[index];
      if (part.type === "text") view.update(part.text, Boolean(done) || index < parts.length - 1);
      else if (part.type === "message") view.update(part.user, people);
      else view.update(part.call, { ...people, progress: progress.get(part.call.tool_call_id), writable: Boolean(this.#actions) });
    });
    this.#rebuild(parts.length);
    const line = done ? "" : stateLine(note, parts.length || reasoning);
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

  async #edit() {
    const { editForm } = await untilLoaded(() => import("./edit-form.js"));
    if (this.#user.classList.contains("editing")) return;
    const { message_id, text, files } = this.#run.user;
    const form = editForm(text, (better) => this.#actions.replace(message_id, better, files), () => {
      form.replaceWith(this.#said);
      this.#user.classList.remove("editing");
      this.#asked.focus();
    });
    this.#said.replaceWith(form);
    this.#user.classList.add("editing");
    form.querySelector("textarea").focus();
  }

  /** Drop the parts from `index` on, and begin one of `type` there. */
  #rebuild(index, type) {
    for (const { view } of this.#parts.splice(index)) view.element.remove();
    if (!type) return;
    const view = this.#part(type);
    this.#parts.push({ type, view });
    this.#body.append(view.element);
  }

  #part(type) {
    if (type === "text") return new MarkdownView();
    return type === "message" ? new SaidView(this.#url) : new ToolCard(this.#actions, this.#url);
  }
}

const because = (reason) => (reason ? ` (${reason})` : "");

const changed = ({ from_model: from = words("the_model"), model, reason }) =>
  words("model_changed", { from, model, reason: because(reason) });

/** @param {any} begun  whether there is something of the answer */
function stateLine(note, begun) {
  const again = note?.retry_in_ms ? words("next_attempt", { time: lasting(note.retry_in_ms / 1000) }) : "";
  if (note?.status === "waiting") return words("waits_for_model", { reason: because(note.reason), again });
  if (note?.status === "awaiting_approval") return ""; // the call says so
  return begun ? "" : words("thinking");
}

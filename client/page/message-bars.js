/** Below a question and an answer: what can be done with it, and what is known of it. */

import { siblings, standing } from "../branches.js";
import { BranchBar } from "./branch-bar.js";
import { h } from "./element.js";
import { clock, dollars, lasting } from "./format.js";
import { copyButton, iconButton } from "./icon-button.js";
import { untilLoaded } from "./until-loaded.js";
import { wordFor, words } from "./words.js";

/** @typedef {import("./transcript.js").Branches} Branches */

export class QuestionBar {
  #run;
  #ways;
  #edit;
  #time = h("span", { class: "time" });
  element = h("div", { class: "message-bar asked", role: "group" }, this.#time);

  /** @param {import("./transcript.js").Actions} [actions] @param {() => void} edit */
  constructor(actions, edit) {
    const copy = copyButton(() => this.#run.user.text);
    this.element.append(copy);
    if (!actions) return;
    this.#ways = new BranchBar(actions.select);
    this.#edit = iconButton("edit", words("edit"), edit);
    this.#edit.classList.add("writes");
    copy.after(this.#edit, this.#ways.element);
  }

  /** @param {import("../reducer.js").Run} run @param {Branches} branches */
  update(run, branches) {
    this.#run = run;
    this.element.hidden = !run.user;
    if (this.element.hidden) return;
    this.#time.textContent = run.user.ts ? clock(run.user.ts) : "";
    this.element.setAttribute("aria-label", words(run.user.user_id === branches.reader ? "your_message" : "message"));
    if (!this.#ways) return;
    this.#edit.disabled = !branches.quiet;
    this.#edit.hidden = !run.question;
    showWays(this.#ways, run.question, branches);
  }

  /** Back from editing. */
  focus() {
    this.#edit.focus();
  }
}

export class AnswerBar {
  #run;
  #known; // what the reader thinks of the answer
  #ways;
  #copy = copyButton(() => this.#run.message.text);
  #again;
  #rates = [];
  #comment;
  #facts = h("dl");
  #more = h("div", { class: "facts", hidden: true }, this.#facts);
  #dots = iconButton("more", words("details"), () => this.#open(this.#more.hidden));
  element = h("div", { class: "message-bar", role: "group", "aria-label": words("answer") },
    h("span", { class: "buttons" }, this.#copy, this.#dots), this.#more);

  /** @param {import("./transcript.js").Actions} [actions] */
  constructor(actions) {
    this.#open(false);
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.#more.hidden) this.#open(false), this.#dots.focus();
    });
    if (!actions) return;
    this.#ways = new BranchBar(actions.select);
    this.#again = iconButton("again", words("regenerate"), () => actions.regenerate(this.#run.run_id));
    const rate = (value, label) => {
      const onclick = () => {
        const next = this.#known === value ? null : value;
        actions.rate(this.#run.message.message_id, next);
        this.#ask(next === "down", actions);
      };
      const button = iconButton("thumb", label, onclick);
      button.value = value;
      return button;
    };
    this.#rates = [rate("up", words("good_answer")), rate("down", words("bad_answer"))];
    for (const button of [this.#again, ...this.#rates]) button.classList.add("writes");
    this.element.prepend(this.#ways.element);
    const fork = iconButton("fork", words("fork"), () => actions.fork(this.#run.message.message_id));
    this.#copy.after(this.#again, ...this.#rates, fork);
  }

  /** @param {import("../reducer.js").Run} run @param {Branches} branches */
  update(run, branches) {
    this.#run = run;
    const { message, done } = run;
    this.element.hidden = !done || !message.message_id;
    if (this.element.hidden) return;
    this.#copy.hidden = !message.text;
    if (!this.#more.hidden) this.#tell();
    if (!this.#ways) return;
    this.#again.disabled = !branches.quiet;
    this.#known = branches.rated(message.message_id);
    for (const button of this.#rates) {
      button.hidden = !message.text;
      button.setAttribute("aria-pressed", String(this.#known === button.value));
    }
    showWays(this.#ways, message.message_id, branches);
  }

  /** Ask what was wrong, or no longer. */
  async #ask(bad, actions) {
    if (!this.#comment && !bad) return;
    const { CommentForm } = await untilLoaded(() => import("./comment-form.js"));
    const say = (text) => actions.rate(this.#run.message.message_id, "down", text);
    this.#comment ??= new CommentForm(say, () => this.#rates[1].focus());
    this.#more.before(this.#comment.element);
    this.#comment.show(bad);
  }

  #open(open) {
    if (open) this.#tell();
    this.#more.hidden = !open;
    this.#dots.setAttribute("aria-expanded", String(open));
    if (open) this.#more.scrollIntoView({ block: "nearest" });
  }

  #tell() {
    const known = facts(this.#run).filter(([, value]) => value);
    this.#facts.replaceChildren(...known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  }
}

const showWays = (ways, message_id, branches) =>
  ways.update(message_id, siblings(branches, message_id), standing(branches, message_id), branches.quiet);

/** What is known of an answer that has ended. @returns {[string, string | undefined][]} */
function facts({ run_id, model, done: { ts, duration_ms, finish_reason, usage = {} } }) {
  const { input_tokens, output_tokens, reasoning_tokens, cached_tokens, estimated, cost } = usage;
  const of = (number, key) => (number ? words(key, { number }) : "");
  const tokens =
    output_tokens !== undefined &&
    words(estimated ? "tokens_about" : "tokens", {
      input: input_tokens ?? 0,
      cached: of(cached_tokens, "tokens_cached"),
      output: output_tokens,
      thinking: of(reasoning_tokens, "tokens_thinking"),
    });
  return [
    [words("fact_time"), ts && clock(ts)],
    [words("fact_took"), duration_ms !== undefined && lasting(duration_ms / 1000)],
    [words("fact_model"), model],
    [words("fact_tokens"), tokens],
    [words("fact_cost"), cost !== undefined && dollars(cost)],
    [words("fact_ended"), finish_reason && wordFor(`ended_${finish_reason}`, finish_reason)],
    [words("fact_run"), run_id],
  ];
}

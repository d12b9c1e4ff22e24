/** The conversation: what was said, in the order of the runs. Redraws only what changed. */

import { activeRun, queued, withdrawn } from "../reducer.js";
import { arrange, sync } from "./keyed.js";
import { PendingView } from "./pending-view.js";
import { byWords, headcount, shown } from "./people.js";
import { RunView } from "./run-view.js";
import { UNDER_WAY } from "./tool-card.js";

/**
 * @typedef {object} Actions  what the reader may do; left out in a read-only transcript
 * @property {(run_id: string) => void} continue
 * @property {(run_id: string) => void} regenerate
 * @property {(message_id: string, text: string, files?: object[]) => void} replace  a question by another one
 * @property {(message_id: string) => void} select
 * @property {(message_id: string, value: "up" | "down" | null, comment?: string) => void} rate
 * @property {(message_id: string) => void} fork  go on from here in a new session
 * @property {(tool_call_id: string, decision: "approve" | "deny", reason?: string, edited?: object) => void} approve
 *   `edited`: other arguments
 * @property {(call: import("../reducer.js").ToolCall) => void} save  its whole output
 * @property {(client_msg_id: string) => void} retry
 * @property {(client_msg_id: string) => void} drop
 * @property {(entry: import("../outbox.js").Outgoing) => void} edit
 *
 * @typedef {{siblings: Record<string, string[]>, sibling_counts: Record<string, object>, quiet: boolean,
 *   rated: (message_id: string) => string | null | undefined}} Branches
 *   What stands beside a message: see `State`; `quiet`: nothing runs or waits; `rated`: what the
 *   reader thinks of it
 */

export class Transcript {
  #root;
  #actions;
  #url;
  #runs = new Map(); // run_id → RunView
  #pending = new Map(); // client_msg_id → PendingView
  #branches = {};
  #forget;

  /**
   * @param {HTMLElement} root
   * @param {Actions} [actions]
   * @param {import("./file-list.js").Url} [url]
   * @param {(view: {element: HTMLElement}) => void} [forget]  told of each exchange that goes
   */
  constructor(root, actions, url, forget) {
    this.#root = root;
    this.#actions = actions;
    this.#url = url;
    this.#forget = forget;
  }

  /**
   * @param {import("../reducer.js").State} state
   * @param {{pending?: import("../outbox.js").Outgoing[], progress?: Map<string, object>,
   *   user_id?: string, people?: import("../here.js").Person[], connection?: string}} [more]  `user_id`: of the
   *   reader; by default the owner reads. `people`: who is here; `connection`: "error" where nothing comes any more
   */
  update(state, { pending = [], progress = new Map(), user_id: reader = state.user_id, people: here = [], connection } = {}) {
    const over = connection === "error";
    const quiet = !over && !activeRun(state) && !queued(state).length;
    const { siblings, sibling_counts, feedback } = state;
    const branches = { siblings, sibling_counts, feedback, quiet, reader };
    if (Object.keys(branches).some((key) => branches[key] !== this.#branches[key])) {
      this.#branches = { ...branches, rated: (message_id) => feedback[message_id]?.[reader]?.value };
    }
    const several = headcount(state, here) > 1;
    const people = {
      branches: this.#branches,
      several,
      author: (user) => shown(user, state.user_id, reader),
      by: (user_id) => byWords(user_id, state.user_id, reader),
      mine: (user_id) => user_id === reader,
      decides: ({ asked_by }) => [state.user_id, asked_by].includes(reader),
    };
    const said = new Set(state.runs.map((run) => run.user?.client_msg_id));
    const drawn = state.runs.filter((run) => run.begun && !withdrawn(run)).map((run) => (over && !run.done ? halted(run) : run));
    const last = drawn.at(-1);
    const runs = sync(this.#runs, drawn, (run) => run.run_ids[0], () => new RunView(this.#actions, this.#url),
      (view, run) => view.update(run, run === last, progress, people), this.#forget);
    const unsaid = pending.filter((entry) => !said.has(entry.client_msg_id));
    const bubbles = sync(this.#pending, unsaid, (entry) => entry.client_msg_id, () => new PendingView(this.#actions),
      (view, entry) => view.update(entry));
    const place = ({ before = Infinity }) => drawn.findLastIndex(({ began }) => began < before) + 0.5; // behind that one
    const placed = [...runs.entries(), ...bubbles.map((bubble, index) => [place(unsaid[index]), bubble])];
    arrange(this.#root, placed.sort(([one], [other]) => one - other).map(([, element]) => element));
  }
}

/** What nothing is added to any more, and nobody is asked in. */
const halted = ({ message, ...run }) => ({
  ...run,
  done: { status: "completed" },
  message: { ...message, parts: message.parts.map(({ call, ...part }) => (call ? { ...part, call: { ...call, status: stopped(call) } } : part)) },
});

const stopped = ({ status }) => (UNDER_WAY.includes(status) || status === "awaiting_approval" ? "cancelled" : status);

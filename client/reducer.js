/**
 * The state of a session as a pure fold over its events: no DOM, no socket, no clock.
 *
 * States are never changed in place. What an event did not touch keeps its identity,
 * so a view may compare with `===` and redraw only what is new.
 *
 * @typedef {{message_id: string, client_msg_id: string, text: string, user_id: string, name?: string,
 *   ts: number, files?: import("./files.js").File[], steer?: boolean}} UserMessage
 *   `steer`: while it waits, the answer under way may take it in
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./message.js").ToolCall} ToolCall
 * @typedef {{run_id: string, run_ids: string[], begun: boolean, user: UserMessage | null,
 *   question: string | null, follows?: string | null, behind?: string | null, began: number,
 *   message: Message, status: string, model: string, note: object | null,
 *   fallback: {from_model?: string, model: string, reason?: string} | null,
 *   done: object | null}} Run
 *   One exchange. A continued answer stays one exchange, under the newest `run_id`. `note`: what
 *   the last `run` event said; `fallback`: the last change of the model. `question`: the message
 *   that it answers; `follows`: the answer before that, if it is known.
 * @typedef {{session_id: string | null, user_id: string | null, epoch: number | null,
 *   last_seq: number, start_time: number | null, runs: Run[], aside: Run[], leaf: string | null,
 *   siblings: Record<string, string[]>, sibling_counts: Record<string, {place: number, count: number}>,
 *   ended: {end_time: number, duration_seconds: number} | null,
 *   summary: {status: string, text?: string} | null, next_before_seq: number | null,
 *   title: string | null, pinned: boolean, archived: boolean,
 *   forked_from: {session_id: string, message_id: string} | null,
 *   feedback: Record<string, Record<string, {value: string | null, comment?: string}>>}} State
 *   `runs`: those of the active branch, in the order of the context. Runs that wait in the queue
 *   come last. A message that an answer took in is a part of that, and no exchange. `aside`: those
 *   of other branches that are known. `leaf`: the last answer of the active branch; `siblings`: of
 *   messages that have any, see `siblings()` in `branches.js`; `sibling_counts`: of those whose list
 *   is not whole. `feedback`: by message and user.
 */

import { arranged, withCount, withSibling } from "./branches.js";
import { cited, completed, cut, emptyMessage, grown, joinedMessages, named, pick, placed, tookIn } from "./message.js";

/** @returns {State} */
export const initial = () => ({
  session_id: null,
  user_id: null,
  epoch: null,
  last_seq: 0,
  start_time: null,
  runs: [],
  aside: [],
  leaf: null,
  siblings: {},
  sibling_counts: {},
  ended: null,
  summary: null,
  next_before_seq: null,
  title: null,
  pinned: false,
  archived: false,
  forked_from: null,
  feedback: {},
});

/**
 * Take one event, live or replayed.
 * @param {State} state
 * @param {object} event  its payload, with its name as `event`
 * @returns {{state: State, verdict: "applied" | "ignored" | "gap"}}
 *   "gap": events are missing in between; nothing was changed.
 */
export function apply(state, event) {
  const first = event.first_seq ?? event.seq;
  if (foreign(state, event) || event.seq <= state.last_seq) return { state, verdict: "ignored" };
  if (first > state.last_seq + 1) return { state, verdict: "gap" };
  return { state: { ...fold(state, event), last_seq: event.seq }, verdict: "applied" };
}

const foreign = (state, event) =>
  Boolean(state.session_id && event.session_id && event.session_id !== state.session_id);

/**
 * Take a `session` payload: of the handshake, of `join` or of `create`.
 * @param {State} state
 * @param {object} payload
 * @returns {{state: State, verdict: "applied" | "gap"}}
 *   "gap": this page does not connect to what is known; ask for a snapshot.
 */
export function load(state, payload) {
  const known = state.session_id === payload.session_id && state.epoch === payload.epoch;
  const fresh = payload.mode === "snapshot" || !known;
  let next = {
    ...(fresh ? initial() : state),
    session_id: payload.session_id,
    user_id: payload.user_id,
    epoch: payload.epoch,
  };
  if (payload.mode === "snapshot") {
    next = payload.events.reduce(fold, next);
    next.next_before_seq = payload.next_before_seq ?? null;
    for (const name of ["title", "pinned", "archived"]) next[name] = payload[name] ?? next[name];
    return { state: { ...withBranch(next, payload), last_seq: payload.seq }, verdict: "applied" };
  }
  for (const event of payload.events) {
    const step = apply(next, event);
    if (step.verdict === "gap") return { state: next, verdict: "gap" };
    next = step.state;
  }
  return { state: { ...next, last_seq: Math.max(next.last_seq, payload.seq) }, verdict: "applied" };
}

/** What the server says of the branches, which a page of one of them cannot show. */
function withBranch(state, { leaf = state.leaf, siblings = {}, sibling_counts = {} }) {
  const next = {
    ...state,
    siblings: { ...state.siblings, ...siblings },
    sibling_counts: { ...state.sibling_counts, ...sibling_counts },
  };
  return leaf === state.leaf ? next : arranged({ ...next, leaf });
}

/**
 * Put an older page, the ack of `history`, in front of what is known.
 * @param {State} state
 * @param {{events: object[], next_before_seq?: number | null}} page
 * @returns {State}
 */
export function prepend(state, page) {
  const older = page.events.reduce(fold, { ...initial(), session_id: state.session_id });
  const first = state.runs.find((run) => run.begun);
  if (first && first.follows === undefined && older.leaf && !same(older.runs.findLast((run) => run.begun), first)) {
    const linked = { ...first, follows: older.leaf };
    state = { ...state, runs: state.runs.map((run) => (run === first ? linked : run)) };
  }
  state = { ...state, runs: state.runs.map((run) => worded(run, older.runs)) };
  older.runs = older.runs.filter((run) => run.begun || !state.runs.some((other) => tookItIn(other, run)));
  const among = (runs, run) => runs.find((other) => same(run, other));
  const whole = (start, end) => (start && end ? joined(start, end) : (start ?? end));
  const [begun, waiting] = [true, false].map((is) => older.runs.filter((run) => run.begun === is));
  const later = state.runs.filter((run) => !among(begun, run));
  const rest = later.map((run) => whole(among(waiting, run), run));
  return {
    ...state,
    start_time: older.start_time ?? state.start_time,
    forked_from: older.forked_from ?? state.forked_from,
    feedback: { ...older.feedback, ...state.feedback },
    user_id: state.user_id ?? older.user_id,
    runs: [
      ...begun.map((run) => whole(run, among(state.runs, run))),
      ...rest.filter((run) => run.begun),
      ...waiting.filter((run) => !among(later, run)),
      ...rest.filter((run) => !run.begun),
    ],
    siblings: { ...older.siblings, ...state.siblings, ...page.siblings },
    sibling_counts: { ...state.sibling_counts, ...page.sibling_counts },
    next_before_seq: page.next_before_seq ?? null,
  };
}

/** @param {State} state @returns {Run | undefined} the run that is under way */
export const activeRun = (state) => state.runs.find((run) => run.begun && !run.done);

/** A tool call in its last state, where it is known. @param {State} state */
export const callOf = ({ runs }, tool_call_id) =>
  runs.flatMap((run) => run.message.parts).find(({ call }) => call?.tool_call_id === tool_call_id)?.call;

/** @param {State} state @returns {Run[]} the runs that wait, first come first */
export const queued = (state) => state.runs.filter((run) => !run.begun);

/** Dropped before its turn: nobody answered it, and the model was never told. @param {Run} run */
export const withdrawn = ({ behind, done }) => behind !== undefined && done?.status === "cancelled";

// ------------------------------------------------------------------ the fold

const folds = {
  session_started: (state, event) => ({
    ...state,
    user_id: event.user_id,
    start_time: event.start_time,
    forked_from: event.forked_from ?? null,
  }),

  session_updated: (state, event) => ({ ...state, ...pick(event, ["title", "pinned", "archived"]) }),

  feedback(state, event) {
    const others = state.feedback[event.message_id];
    const mine = { ...others, [event.user_id]: pick(event, ["value", "comment"]) };
    return { ...state, feedback: { ...state.feedback, [event.message_id]: mine } };
  },

  user_message: (state, event) =>
    change(reopened(state), event, (run) => ({
      ...run,
      user: pick(event, ["message_id", "client_msg_id", "text", "user_id", "name", "files", "steer", "ts"]),
      question: event.message_id,
      follows: event.parent,
    })),

  run(state, event) {
    const before = find(state, event);
    const begins = event.status !== "queued" && !before?.begun;
    const next = event.run_id === before?.run_id ? state : reopened(state);
    const folded = change(next, event, (run) => {
      const message = named(run.message, event);
      return {
        ...run,
        run_id: event.run_id,
        run_ids: [...new Set([...run.run_ids, event.run_id])],
        begun: run.begun || event.status !== "queued",
        status: event.status,
        model: event.model,
        note: pick(event, ["status", "reason", "retry_in_ms"]),
        fallback: event.status === "fallback" ? pick(event, ["from_model", "model", "reason"]) : run.fallback,
        done: null,
        message: event.reset_to === undefined ? message : cut(message, event.reset_to),
      };
    });
    return begins ? begun(folded, event) : folded;
  },

  queue(state, { order }) {
    const waiting = state.runs.filter((run) => !run.begun);
    waiting.sort((one, other) => order.indexOf(one.run_id) - order.indexOf(other.run_id));
    return { ...state, runs: [...state.runs.filter((run) => run.begun), ...waiting] };
  },

  selected: (state, event) => arranged({ ...state, leaf: event.message_id }),

  token: (state, event) =>
    change(state, event, (run) => ({
      ...run,
      begun: true,
      message: grown(named(run.message, event), event),
    })),

  tool_call: (state, event) =>
    change(state, event, (run) => ({
      ...run,
      begun: true,
      message: placed(named(run.message, event), event),
    })),

  sources: (state, event) =>
    change(state, event, (run) => ({ ...run, message: cited(named(run.message, event), event.sources) })),

  done(state, event) {
    if (event.consumed_by) return consumed(state, event);
    return change(state, event, (run) => ({
      ...run,
      begun: true,
      began: run.begun ? run.began : event.seq,
      behind: run.begun ? run.behind : state.leaf,
      status: event.status,
      model: event.model,
      note: null,
      message: event.text === undefined ? run.message : completed(run.message, event),
      // with `continued_by` the server goes on by itself, and the next event says so
      done: event.continued_by ? null : pick(event, ["status", "finish_reason", "usage", "duration_ms", "error", "value", "ts"]),
    }));
  },

  session_ended: (state, event) => ({
    ...state,
    ended: pick(event, ["end_time", "duration_seconds"]),
  }),

  summary: (state, event) => ({ ...state, summary: pick(event, ["status", "text", "error"]) }),
};

/** An event of a kind that is not known here changes nothing, so a newer server does no harm. */
const fold = (state, event) =>
  Object.hasOwn(folds, event.event) ? folds[event.event](state, event) : state;

/** Saying something reopens an ended session. */
const reopened = (state) => (state.ended ? { ...state, ended: null, summary: null } : state);

/** An answer takes a message in, which waits no longer. */
function consumed(state, { run_id, consumed_by }) {
  const waiting = state.runs.find((run) => run.run_ids.includes(run_id));
  const part = { run_id, user: waiting?.user ?? null };
  const rest = { ...state, runs: state.runs.filter((run) => run !== waiting) };
  return change(rest, { run_id: consumed_by }, (run) => ({ ...run, begun: true, message: tookIn(run.message, part) }));
}

const tookItIn = ({ message }, { run_id }) => message.parts.some((part) => part.type === "message" && part.run_id === run_id);

/** A run whose answer took messages in, with the words of those that an older page has. */
const worded = (run, older) =>
  older
    .filter((one) => one.user && tookItIn(run, one))
    .reduce((whole, one) => ({ ...whole, message: tookIn(whole.message, one) }), run);

/** A run has begun: its question and its answer take their places. */
function begun(state, event) {
  const run = find(state, event);
  const all = [...state.runs, ...state.aside].filter((other) => other !== run && other.begun);
  const asked = run.user ?? all.find((other) => other.question === event.parent)?.user ?? null;
  const question = run.question ?? event.parent ?? null;
  const twin = all.find((other) => question && other.question === question);
  const last = state.leaf ?? (state.start_time === null ? undefined : null); // null: there is none
  const follows = [run.follows, twin?.follows, event.follows, last].find((id) => id !== undefined);
  const placed = { ...run, user: asked, question, follows, began: event.seq };
  const answers = all.filter((other) => question && other.question === question);
  const beside = all.filter(
    (other) => question && follows !== undefined && other.question && other.question !== question && other.follows === follows,
  );
  let { siblings, sibling_counts } = state;
  const families = [
    [run.message.message_id, answers.map((other) => other.message.message_id)],
    [question, [...new Set(beside.map((other) => other.question))]],
  ];
  for (const [message_id, others] of families) {
    siblings = withSibling(siblings, message_id, others);
    sibling_counts = withCount(sibling_counts, message_id, others);
  }
  const runs = state.runs.map((other) => (other === run ? placed : other));
  const next = { ...state, runs, siblings, sibling_counts, leaf: run.message.message_id };
  return state.aside.length || answers.length || beside.length ? arranged(next) : next;
}

// ---------------------------------------------------------------- the runs

const find = (state, event) =>
  state.runs.findLast((run) => run.run_ids.includes(event.run_id)) ??
  state.runs.findLast((run) => event.message_id && run.message.message_id === event.message_id) ??
  state.runs.findLast((run) => !run.begun && event.parent && run.question === event.parent);

const same = (one, other) =>
  one.run_ids.some((id) => other.run_ids.includes(id)) ||
  Boolean(one.question && one.question === other.question && !(one.begun && other.begun)) ||
  Boolean(one.message.message_id && one.message.message_id === other.message.message_id);

/** @returns {Run} */
const newRun = (run_id) => ({
  run_id,
  run_ids: [run_id],
  begun: false,
  user: null,
  question: null,
  began: 0,
  message: emptyMessage,
  status: "queued",
  model: "",
  note: null,
  fallback: null,
  done: null,
});

/**
 * Change the run of an event. A run takes its place in the order when it begins, behind
 * those that began before it: a message queued behind an answer comes after that answer.
 */
function change(state, event, update) {
  const before = find(state, event);
  const after = update(before ?? newRun(event.run_id));
  const runs = state.runs.slice();
  if (before && before.begun === after.begun) {
    runs[runs.indexOf(before)] = after;
  } else {
    if (before) runs.splice(runs.indexOf(before), 1);
    const waiting = after.begun ? runs.findIndex((run) => !run.begun) : -1;
    runs.splice(waiting < 0 ? runs.length : waiting, 0, after);
  }
  return { ...state, runs };
}

/** One run of which an older page held the beginning. */
function joined(older, newer) {
  const { status, model, note } = newer.model ? newer : older; // as the last `run` or `done` said
  return {
    ...newer,
    status,
    model,
    note,
    fallback: newer.fallback ?? older.fallback,
    run_ids: [...new Set([...older.run_ids, ...newer.run_ids])],
    user: newer.user ?? older.user,
    question: newer.question ?? older.question,
    follows: newer.follows !== undefined ? newer.follows : older.follows,
    began: older.began || newer.began,
    message: joinedMessages(older.message, newer.message),
  };
}

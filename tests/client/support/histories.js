/** Random but valid logs from a seed, and the two ways in which a server shortens them. */

/** Small, seeded, good enough: mulberry32. @returns {() => number} in [0, 1) */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS = ["a ", "word ", "😀", "👩‍👩‍👧 ", "é", "line\n", "**bold** ", "\n\n", "z"];
const ENDS = ["completed", "completed", "cancelled", "interrupted", "incomplete", "failed", "quota_exceeded"];

/** A log as the server would write it: entries with `seq` 1, 2, 3, … */
export function history(seed, { length = 120, resets = true } = {}) {
  const next = random(seed);
  const below = (count) => Math.floor(next() * count);
  const pick = (list) => list[below(list.length)];
  const events = [];
  let runs = 0;
  let calls = 0;
  let ended = false;
  let active = null; // {run_id, message_id, text, reasoning, open: tool calls, floor}
  let last = null; // the run that ended last
  const queue = [];
  const add = (event, run, fields) =>
    events.push({ event, session_id: "s", seq: events.length + 1, ts: 1000 + events.length, ...(run && { run_id: run.run_id }), ...fields });
  const state = (run, status, more) => add("run", run, { message_id: run.message_id, status, model: "demo", ...more });
  const begin = (run) => {
    active = run;
    state(run, "started");
  };
  const done = (run, status) => {
    add("done", run, {
      message_id: run.message_id, status, finish_reason: "stop", text: run.text, text_len: run.text.length,
      usage: { input_tokens: 1, output_tokens: 1 }, model: "demo", duration_ms: 1,
    });
  };
  const finish = () => {
    for (const call of active.open) add("tool_call", active, { ...call, status: "cancelled" });
    active.open = [];
    done(active, (active.status = pick(ENDS)));
    last = active;
    active = null;
    if (queue.length) begin(queue.shift());
  };
  const grow = (kind) => {
    const delta = Array.from({ length: 1 + below(3) }, () => pick(WORDS)).join("");
    add("token", active, { message_id: active.message_id, offset: active[kind].length, delta, kind });
    active[kind] += delta;
  };
  add("session_started", null, { user_id: "u", start_time: 1000 });
  while (events.length < length) {
    const dice = next();
    if (!active) {
      if (!ended && last && dice < 0.1) {
        add("session_ended", null, { end_time: 5000, duration_seconds: 4 });
        ended = true;
        if (next() < 0.7) add("summary", null, { status: "done", text: "Said." });
      } else if (last && dice < 0.4 && ["interrupted", "incomplete"].includes(last.status)) {
        ended = false;
        begin({ ...last, run_id: `r${++runs}`, open: [], floor: last.text.length });
      } else {
        ended = false;
        begin(said());
      }
    } else if (dice < 0.04) {
      finish();
    } else if (dice < 0.1 && queue.length < 3) {
      const run = said();
      state(run, "queued");
      queue.push(run);
    } else if (dice < 0.12 && queue.length) {
      done(queue.splice(below(queue.length), 1)[0], "cancelled");
    } else if (dice < 0.15 && queue.length && !active.open.length) {
      takeIn();
    } else if (dice < 0.22) {
      const call = { tool_call_id: `t${++calls}`, name: "look_up" };
      active.open.push(call);
      add("tool_call", active, { ...call, status: "streaming" });
    } else if (dice < 0.4 && active.open.length) {
      const call = pick(active.open);
      if (!call.arguments) call.arguments = { query: pick(WORDS) };
      else active.open = active.open.filter((other) => other !== call);
      const closed = !active.open.includes(call);
      add("tool_call", active, { ...call, status: closed ? "completed" : "ready", ...(closed && { output: { n: below(9) } }) });
    } else if (dice < 0.43 && resets) {
      reset();
    } else {
      grow(next() < 0.2 ? "reasoning" : "text");
    }
  }
  return events;

  function said() {
    const run = { run_id: `r${++runs}`, message_id: `a${runs}`, text: "", reasoning: "", open: [], floor: 0 };
    add("user_message", run, { message_id: `q${runs}`, client_msg_id: `c${runs}`, text: `question ${runs}`, user_id: "u" });
    return run;
  }

  function takeIn() {
    const [run] = queue.splice(below(queue.length), 1);
    active.floor = active.text.length;
    add("done", run, {
      message_id: run.message_id, status: "consumed", finish_reason: "stop", text: "", text_len: 0, consumed_by: active.run_id,
      usage: { input_tokens: 0, output_tokens: 0 }, model: "demo", duration_ms: 1,
    });
  }

  function reset() {
    const to = active.floor + below(active.text.length - active.floor + 1);
    if (to === active.text.length || /[\uD800-\uDBFF]/.test(active.text[to - 1] ?? "")) return;
    active.text = active.text.slice(0, to);
    active.open = []; // void, or never heard of again
    state(active, "fallback", { from_model: "other", reason: "timeout", reset_to: to });
  }
}

const follows = (before, after) =>
  before?.event === "token" && after.event === "token" && (after.first_seq ?? after.seq) === before.seq + 1 &&
  ["run_id", "message_id", "kind"].every((key) => before[key] === after[key]);

/** Neighbouring tokens of one run, message and kind in one event; not all of them, by `chance`. */
export function merged(events, chance = () => true) {
  const list = [];
  for (const event of events) {
    const before = list.at(-1);
    if (follows(before, event) && chance()) {
      const { seq, ts, delta } = event;
      list[list.length - 1] = { ...before, seq, ts, delta: before.delta + delta, first_seq: before.first_seq ?? before.seq };
    } else list.push(event);
  }
  return list;
}

/** What a snapshot holds: tokens merged, each tool call once, in its last state at its first place. */
export function folded(events) {
  const last = new Map();
  for (const event of events) if (event.event === "tool_call") last.set(event.tool_call_id, event);
  const seen = new Set();
  return merged(
    events.flatMap((event) => {
      if (event.event !== "tool_call") return [event];
      if (seen.has(event.tool_call_id)) return [];
      seen.add(event.tool_call_id);
      return [{ ...last.get(event.tool_call_id), first_seq: event.seq }];
    }),
  );
}

/** A `session` payload as the server would answer. */
export const page = (events, { mode, seq, head = seq, ...more }) => ({
  session_id: "s", user_id: "u", epoch: 1, recovered: true, queue: [], pending_approvals: [], ended: false,
  model: "demo", mode, seq, head, events, ...more,
});

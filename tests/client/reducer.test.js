import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { siblings, standing } from "../../client/branches.js";
import { activeRun, apply, initial, load, prepend, queued } from "../../client/reducer.js";
import { folded, history, merged, page, random } from "./support/histories.js";

const vectors = JSON.parse(readFileSync(new URL("../vectors/reducer.json", import.meta.url)));

/** Live: event by event, each of which must be taken. */
function live(events, state = load(initial(), page([], { mode: "live", seq: 0 })).state) {
  for (const event of events) {
    const step = apply(state, event);
    assert.equal(step.verdict, "applied", `seq ${event.seq}`);
    state = step.state;
  }
  return state;
}

const snapshot = (events) =>
  load(initial(), page(folded(events), { mode: "snapshot", seq: events.at(-1)?.seq ?? 0 })).state;

const tookIn = ({ parts }) => {
  const messages = parts.filter(({ type }) => type === "message");
  return messages.length && { messages: messages.map(({ user, offset }) => ({ text: user?.text ?? null, offset })) };
};

const shape = ({ runs }) => ({
  runs: runs.map(({ run_id, user, message, status }) => ({
    run_id,
    user_text: user?.text,
    text: message.text,
    reasoning: message.reasoning,
    tool_calls: message.parts
      .filter((part) => part.type === "tool_call")
      .map(({ call }) => ({ tool_call_id: call.tool_call_id, status: call.status })),
    status,
    ...tookIn(message),
  })),
});

const token = (seq, offset, delta, more = {}) => ({
  event: "token", seq, run_id: "r1", message_id: "a1", offset, delta, kind: "text", ...more,
});
const text = (state) => state.runs[0].message.text;
const begun = () =>
  live([
    { event: "session_started", seq: 1, user_id: "u", start_time: 1 },
    { event: "user_message", seq: 2, run_id: "r1", message_id: "q1", client_msg_id: "c1", text: "hi", user_id: "u" },
    { event: "run", seq: 3, run_id: "r1", message_id: "a1", status: "started", model: "demo" },
  ]);

for (const { name, events, state } of vectors) {
  test(`vector: ${name}`, () => {
    assert.deepEqual(shape(live(events)), state);
    assert.deepEqual(shape(snapshot(events)), state);
    const replayed = load(initial(), page(merged(events), { mode: "replay", seq: events.length }));
    assert.deepEqual(shape(replayed.state), state);
  });
}

test("an event that is known is ignored, one too far ahead is a gap", () => {
  const state = live([token(4, 0, "one")], begun());
  assert.deepEqual(apply(state, token(4, 0, "one")), { state, verdict: "ignored" });
  assert.deepEqual(apply(state, token(2, 0, "one")), { state, verdict: "ignored" });
  assert.deepEqual(apply(state, token(6, 6, "three")), { state, verdict: "gap" });
  assert.equal(apply(state, token(5, 3, "two")).verdict, "applied");
});

test("a merged event applies when it reaches back to what is known, and never doubles text", () => {
  const state = live([token(4, 0, "one "), token(5, 4, "two ")], begun());
  const step = apply(state, token(7, 0, "one two three four", { first_seq: 4 }));
  assert.equal(step.verdict, "applied");
  assert.equal(text(step.state), "one two three four");
  assert.equal(step.state.last_seq, 7);
  assert.equal(apply(state, token(9, 12, "x", { first_seq: 7 })).verdict, "gap");
});

test("an overlap in the middle of surrogate pairs is cut at UTF-16 units", () => {
  const state = live([token(4, 0, "a😀b")], begun());
  const step = apply(state, token(6, 1, "😀b👍🏽!", { first_seq: 4 }));
  assert.equal(text(step.state), "a😀b👍🏽!");
});

test("an answer that the server goes on with is one answer that has not ended", () => {
  const broke = { event: "done", run_id: "r1", message_id: "a1", status: "interrupted", model: "demo", continued_by: "r2", session_id: "s", seq: 5 };
  const state = live([token(4, 0, "one "), broke], begun());
  assert.equal(activeRun(state)?.message.text, "one ");
  for (const status of ["queued", "started"]) {
    const next = { event: "run", run_id: "r2", message_id: "a1", status, automatic: true, model: "demo", session_id: "s", seq: 6 };
    const gone = live([next, { ...token(7, 4, "two"), run_id: "r2" }], state);
    assert.deepEqual([gone.runs.length, text(gone), activeRun(gone)?.run_id], [1, "one two", "r2"]);
  }
});

test("another epoch or another session drops what is known", () => {
  const state = live([token(4, 0, "stale")], begun());
  const other = load(state, page(folded(history(1, { length: 30 })), { mode: "snapshot", seq: 30, epoch: 2 })).state;
  assert.equal(other.epoch, 2);
  assert.ok(!JSON.stringify(other).includes("stale"));
  const fresh = load(state, page([], { mode: "live", seq: 0, session_id: "t" })).state;
  assert.deepEqual([fresh.session_id, fresh.runs, fresh.last_seq], ["t", [], 0]);
  assert.equal(apply(fresh, token(1, 0, "x", { session_id: "s" })).verdict, "ignored");
});

test("a replay that does not connect is a gap, and a snapshot is exempt", () => {
  const events = history(3, { length: 60 });
  const state = live(events.slice(0, 20));
  assert.equal(load(state, page(events.slice(30), { mode: "replay", seq: 60 })).verdict, "gap");
  assert.equal(load(state, page(folded(events.slice(30)), { mode: "snapshot", seq: 60 })).state.last_seq, 60);
});

test("states are not changed in place, and what an event does not touch keeps its identity", () => {
  const events = history(5, { length: 100 });
  let state = live([]);
  for (const event of events) {
    const before = JSON.stringify(state);
    const next = apply(state, Object.freeze(event)).state;
    assert.equal(JSON.stringify(state), before);
    if (event.event === "token") {
      const changed = next.runs.filter((run, index) => run !== state.runs[index]);
      assert.equal(changed.length, 1);
    }
    state = next;
  }
});

test("an unknown event changes nothing but the cursor", () => {
  const state = begun();
  const step = apply(state, { event: "toString", seq: 4 });
  assert.deepEqual(step, { state: { ...state, last_seq: 4 }, verdict: "applied" });
});

test("the queue and the active run", () => {
  const { events } = vectors.find(({ name }) => name.startsWith("a queued run that is stopped"));
  const state = live(events);
  assert.equal(activeRun(state).run_id, "r1");
  assert.deepEqual(queued(state).map((run) => run.run_id), ["r2"]);
});

test("tool calls stand where they appeared in the text", () => {
  const { events } = vectors.find(({ name }) => name.startsWith("a tool call between"));
  const parts = live(events).runs[0].message.parts;
  assert.deepEqual(parts.map((part) => part.text ?? part.call.status), ["Let me see. ", "completed", "Two."]);
  assert.deepEqual(parts.map((part) => part.offset), [0, 12, 12]);
});

test("another model begins anew where reset_to says, and it is known that it did", () => {
  const call = (seq, tool_call_id) => ({ event: "tool_call", seq, run_id: "r1", message_id: "a1", tool_call_id, name: "f", status: "completed" });
  const state = live([
    token(4, 0, "Let me see. "),
    call(5, "kept"),
    token(6, 12, "It is 4"),
    call(7, "void"),
    { event: "run", seq: 8, run_id: "r1", message_id: "a1", status: "fallback", model: "small", from_model: "large", reason: "quota", reset_to: 12 },
    token(9, 12, "It is 5."),
    { event: "done", seq: 10, run_id: "r1", message_id: "a1", status: "completed", model: "small", text: "Let me see. It is 5." },
  ], begun());
  const [run] = state.runs;
  assert.equal(text(state), "Let me see. It is 5.");
  assert.deepEqual(run.message.parts.map((part) => part.text ?? part.call.tool_call_id), ["Let me see. ", "kept", "It is 5."]);
  assert.deepEqual(run.fallback, { from_model: "large", model: "small", reason: "quota" });
});

test("what an answer cites is kept, and is void where the text is cut before it", () => {
  const sources = (seq, ...list) => ({ event: "sources", seq, run_id: "r1", message_id: "a1", sources: list });
  const [one, two, whole] = [{ url: "https://a.example", start: 0, end: 3 }, { url: "https://b.example", start: 4, end: 9 }, { url: "https://c.example" }];
  const said = [token(4, 0, "Yes. No."), sources(5, one, two), sources(6, whole)];
  const state = live(said, begun());
  assert.deepEqual(state.runs[0].message.sources, [one, two, whole]);
  const reset = { event: "run", seq: 7, run_id: "r1", message_id: "a1", status: "fallback", model: "small", reset_to: 5 };
  assert.deepEqual(apply(state, reset).state.runs[0].message.sources, [one, whole]);
  const older = [...said.slice(0, 2)];
  const newer = live([{ ...sources(6, whole), first_seq: 6 }], { ...begun(), last_seq: 5 });
  const joined = prepend({ ...newer, next_before_seq: 6 }, { events: older, next_before_seq: null });
  assert.deepEqual(joined.runs[0].message.sources, [one, two, whole]);
});

test("an approval stays with its call, whoever decides", () => {
  const call = (seq, status, approval) => ({ event: "tool_call", seq, run_id: "r1", message_id: "a1", tool_call_id: "t1", name: "pay", status, arguments: { sum: 3 }, approval });
  const asked = live([call(4, "awaiting_approval", { expires_at: 9 })], begun());
  const decided = { expires_at: 9, decision: "deny", decided_by: "u2", reason: "too much" };
  const [part, ...rest] = live([call(5, "denied", decided), token(6, 0, "Well.")], asked).runs[0].message.parts;
  assert.deepEqual([part.call.status, part.call.approval], ["denied", decided]);
  assert.deepEqual(rest.map((one) => one.text), ["Well."]);
});

test("a message that begins on an older page keeps its offsets", () => {
  const state = load(initial(), page([token(9, 5, "world")], { mode: "snapshot", seq: 9 })).state;
  const done = { event: "done", seq: 10, run_id: "r1", message_id: "a1", status: "completed", text: "helloworld!" };
  const ended = apply(state, done).state;
  assert.deepEqual([ended.runs[0].message.text_from, text(ended)], [5, "world!"]);
  const older = { events: [token(8, 0, "hello")], next_before_seq: null };
  assert.equal(text(prepend(ended, older)), "helloworld!");
});

const ROUNDS = 300;

test(`${ROUNDS} random histories: live, replay and snapshot lead to the same state`, () => {
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const next = random(seed * 7919);
    const events = history(seed);
    const truth = live(events);
    const cut = Math.floor(next() * events.length);
    const known = live(events.slice(0, cut));

    // a snapshot in the middle, then pages of replay, merged at random and overlapping
    for (const start of [known, { ...snapshot(events.slice(0, cut)), epoch: cut ? 1 : null }]) {
      let state = start;
      let at = cut;
      while (at < events.length) {
        const to = Math.min(events.length, at + 1 + Math.floor(next() * 40));
        const from = Math.max(0, at - Math.floor(next() * 4));
        const pages = merged(events.slice(from, to), () => next() < 0.8);
        const step = load(state, page(pages, { mode: "replay", seq: to, head: events.length }));
        assert.equal(step.verdict, "applied", `seed ${seed}`);
        state = step.state;
        at = to;
      }
      assert.deepEqual(state, truth, `seed ${seed}`);
    }
    assert.deepEqual(snapshot(events), truth, `seed ${seed}: snapshot`);
    assert.deepEqual(load(known, page(folded(events), { mode: "snapshot", seq: events.length })).state, truth);
  }
});

test(`${ROUNDS} random histories: doubled and late events change nothing`, () => {
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const next = random(seed);
    const events = history(seed, { length: 80 });
    let state = live([]);
    events.forEach((event, index) => {
      state = apply(state, event).state;
      const again = events[Math.floor(next() * (index + 1))];
      assert.equal(apply(state, again).verdict, "ignored");
      const ahead = events[index + 2];
      if (ahead) assert.deepEqual(apply(state, ahead), { state, verdict: "gap" });
    });
    assert.deepEqual(state, live(events));
  }
});

test(`${ROUNDS} random histories: older pages put in front lead to the whole`, () => {
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const next = random(seed + 1e6);
    const events = history(seed, { resets: false });
    const entries = folded(events);
    let cut = Math.floor(next() * entries.length);
    const first = (entry) => entry.first_seq ?? entry.seq;
    // as the server cuts: calls that were still open at the cut stand on the page behind it too
    const newest = (list, from) => {
      const start = first(list[from]);
      return [...list.slice(0, from).filter((entry) => entry.seq >= start), ...list.slice(from)];
    };
    const start = newest(entries, cut);
    let state = load(initial(), page(start, { mode: "snapshot", seq: events.length, next_before_seq: 1 })).state;
    for (let before = first(entries[cut]); before > 1; ) {
      const list = folded(events.slice(0, before - 1));
      cut = Math.max(0, list.length - 1 - Math.floor(next() * 20));
      before = first(list[cut]);
      state = prepend(state, { events: newest(list, cut), next_before_seq: before > 1 ? before : null });
    }
    assert.deepEqual(shape(state), shape(live(events)), `seed ${seed}`);
    assert.deepEqual(state.runs.map((run) => run.message.parts), live(events).runs.map((run) => run.message.parts), `seed ${seed}`);
  }
});

test("the title, its marks and feedback are a fold, and a snapshot says them", () => {
  let state = initial();
  const take = (event, fields) => {
    ({ state } = apply(state, { event, seq: state.last_seq + 1, ts: 1, session_id: "s", ...fields }));
  };
  take("session_started", { user_id: "u", start_time: 1, forked_from: { session_id: "o", message_id: "m" } });
  take("session_updated", { title: "By a model" });
  take("session_updated", { title: "Mine", user_id: "u" });
  take("session_updated", { pinned: true, user_id: "u" });
  take("feedback", { message_id: "a", user_id: "u", value: "up" });
  take("feedback", { message_id: "a", user_id: "v", value: "down", comment: "no" });
  take("feedback", { message_id: "a", user_id: "u", value: null });
  assert.deepEqual([state.title, state.pinned, state.archived], ["Mine", true, false]);
  assert.equal(state.forked_from.message_id, "m");
  assert.deepEqual(state.feedback.a, { u: { value: null }, v: { value: "down", comment: "no" } });
  const page = { mode: "snapshot", session_id: "s", user_id: "u", epoch: 1, seq: 9, events: [] };
  const loaded = load(initial(), { ...page, title: "Mine", archived: true }).state;
  assert.deepEqual([loaded.title, loaded.pinned, loaded.archived], ["Mine", false, true]);
});

test("a message that an answer took in has its words once an older page tells them", () => {
  const { events } = vectors.find(({ name }) => name.startsWith("a message that the answer under way takes in"));
  const whole = live(events);
  for (const cut of [6, 7, 8, 9, 10, 11, 12]) {
    const newest = page(folded(events.slice(cut)), { mode: "snapshot", seq: 16, next_before_seq: cut + 1 });
    const state = prepend(load(initial(), newest).state, { events: folded(events.slice(0, cut)), next_before_seq: null });
    assert.deepEqual(shape(state), shape(whole), `cut at ${cut}`);
    const [, , part] = state.runs[0].message.parts;
    assert.deepEqual([part.type, part.user.text, part.user.steer], ["message", "in blue", true]);
  }
});

test("what waits while an older page ends is followed by nothing", () => {
  const { events } = vectors.find(({ name }) => name.startsWith("a message that the answer under way takes in"));
  const newest = page(events.slice(11), { mode: "snapshot", seq: 16, next_before_seq: 12 });
  const state = prepend(load(initial(), newest).state, { events: events.slice(0, 9), next_before_seq: null });
  assert.equal(state.runs[0].follows, null);
});

test("of a large family the nearest are known, and which of how many a message is", () => {
  const events = [
    { event: "session_started", seq: 1, user_id: "u", start_time: 1 },
    { event: "user_message", seq: 2, run_id: "r1", message_id: "q1", client_msg_id: "c1", text: "hi", user_id: "u", parent: null },
    { event: "run", seq: 3, run_id: "r1", message_id: "a80", status: "started", model: "demo", parent: "q1" },
    { event: "done", seq: 4, run_id: "r1", message_id: "a80", status: "completed", text: "", text_len: 0 },
  ];
  const told = { leaf: "a80", siblings: { a80: ["a79", "a80", "a81"] }, sibling_counts: { a80: { place: 80, count: 500 } } };
  const state = load(initial(), { ...page(events, { mode: "snapshot", seq: 4 }), ...told }).state;
  assert.deepEqual(standing(state, "a80"), { place: 80, count: 500 });
  assert.deepEqual(standing(state, "q1"), { place: 1, count: 1 });
  const again = { event: "run", seq: 5, run_id: "r2", message_id: "new", status: "started", model: "demo", parent: "q1" };
  const next = live([again], state);
  assert.deepEqual(siblings(next, "new"), ["a79", "a80", "a81", "new"]);
  assert.deepEqual(standing(next, "new"), { place: 501, count: 501 });
  assert.deepEqual(standing(next, "a80"), { place: 80, count: 501 });
});

/** Tools that run in a front end: once over the tabs, over lost connections, and never for readers. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { inOneTab } from "../../client/once.js";
import { SessionClient } from "../../client/session.js";
import { Keep } from "../../client/storage.js";
import { FakeServer, Store } from "./support/fake.js";

const clients = [];
afterEach(() => clients.splice(0).forEach((client) => client.close()));

function connectTo(server, parts = {}) {
  const client = new SessionClient({ io: server.io, storage: new Store(), ackTimeout: 100, ...parts });
  clients.push(client);
  return client;
}

async function until(condition, ms = 5000) {
  for (const end = Date.now() + ms; !condition(); ) {
    assert.ok(Date.now() < end, `not in time: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const CALL = { event: "tool_call", run_id: "r1", message_id: "a1", tool_call_id: "t1", name: "locate" };

/** A server with a run whose call waits for a device, and takes the first answer to it. */
function asking(call = {}) {
  const server = new FakeServer();
  const { answer } = server;
  server.answers = [];
  server.answer = (socket, name, payload) => {
    if (name !== "tool_result") return answer.call(server, socket, name, payload);
    server.answers.push(payload);
    if (server.log.at(-1).status !== "awaiting_client") return { ok: false, error: { code: "already_resolved", message: "" } };
    const { output, error } = payload;
    server.append({ ...CALL, status: error ? "failed" : "completed", ...(error ? { error } : { output }) });
    return { ok: true, status: "resolved" };
  };
  const client = { timeout_ms: 30_000, expires_at: Date.now() + 30_000 };
  server.append({ event: "session_started", user_id: "u", start_time: 1 });
  server.append({ event: "user_message", run_id: "r1", message_id: "q1", client_msg_id: "c1", text: "hi", user_id: "u" });
  server.append({ event: "run", run_id: "r1", message_id: "a1", status: "started", model: "demo" });
  server.ask = () => server.append({ ...CALL, status: "awaiting_client", arguments: { n: 1 }, client, ...call });
  return server;
}

test("a call that waits is run, and its output is sent, once over all tabs", async () => {
  const server = asking();
  const storage = new Store();
  const ran = [];
  const tools = { locate: async (args, { name }) => (ran.push([name, args]), { lat: 1 }) };
  await Promise.all([1, 2, 3].map(() => connectTo(server, { storage, tools }).connect()));
  server.ask();
  await until(() => clients.every(({ state }) => state.runs[0].message.parts[0]?.call.status === "completed"));
  await new Promise((resolve) => setTimeout(resolve, 2500)); // the notes of the tabs are read once a second
  assert.deepEqual(ran, [["locate", { n: 1 }]]);
  assert.deepEqual(server.answers, [{ session_id: "s", tool_call_id: "t1", output: { lat: 1 } }]);
});

test("one that waits since before a reload is run, and what is not ours is left", async () => {
  const server = asking();
  server.ask();
  const ran = [];
  const client = connectTo(server, { tools: { locate: () => void ran.push("locate") } });
  const other = connectTo(server, { tools: { other: () => ran.push("other") } });
  await Promise.all([other.open("s"), client.open("s")]);
  await until(() => server.answers.length);
  assert.deepEqual([ran, server.answers[0].output], [["locate"], null], "nothing is null");
});

test("a call that only the payload names is run too", async () => {
  const server = asking();
  const { session } = server;
  const client = { timeout_ms: 30_000, expires_at: Date.now() + 30_000 };
  const call = { ...CALL, session_id: "s", status: "awaiting_client", arguments: {}, client };
  server.session = (cursor) => ({ ...session.call(server, cursor), pending_client_calls: [call] });
  await connectTo(server, { tools: { locate: () => 1 } }).connect();
  await until(() => server.answers.length);
});

test("an answer that is lost is sent again, and the tool is not run again", async () => {
  const server = asking();
  let runs = 0;
  const client = connectTo(server, { tools: { locate: () => ++runs } });
  await client.connect();
  const { answer } = server;
  let lost = 0;
  server.answer = (socket, name, payload) => {
    if (name !== "tool_result" || lost++) return answer(socket, name, payload);
    server.cut();
    return { ok: false, error: { code: "internal", message: "" } };
  };
  server.ask();
  await until(() => server.answers.length);
  assert.deepEqual([runs, lost, server.answers[0].output], [1, 2, 1]);
});

test("what a tool throws is the call's error", async () => {
  const server = asking();
  const cyclic = {};
  cyclic.self = cyclic;
  const tools = { locate: () => Promise.reject(Object.assign(new Error("no permission"), { code: "denied" })) };
  await connectTo(server, { tools }).connect();
  server.ask();
  await until(() => server.answers.length);
  assert.deepEqual(server.answers[0].error, { message: "no permission", code: "denied" });

  const another = asking();
  await connectTo(another, { tools: { locate: () => cyclic } }).connect();
  another.ask();
  await until(() => another.answers.length);
  assert.match(another.answers[0].error.message, /circular/i);
});

test("an output that no frame takes is an error, and closes nothing", async () => {
  const server = asking();
  const info = Promise.resolve({ limits: { text_bytes: 1000, frame_bytes: 2000 } });
  await connectTo(server, { info, tools: { locate: () => "x".repeat(3000) } }).connect();
  server.ask();
  await until(() => server.answers.length);
  assert.equal(server.answers[0].error.code, "too_large");
});

test("an output that the server does not take is an error", async () => {
  const server = asking();
  const { answer } = server;
  server.answer = (socket, name, payload) =>
    name === "tool_result" && "output" in payload
      ? { ok: false, error: { code: "bad_request", message: "not this", retryable: false } }
      : answer(socket, name, payload);
  await connectTo(server, { tools: { locate: () => 1 } }).connect();
  server.ask();
  await until(() => server.answers.length);
  assert.deepEqual(server.answers[0].error, { message: "not this", code: "bad_request" });
});

test("whoever only reads runs nothing", async () => {
  const server = asking();
  server.welcome = { ...server.session({}), access: "read" };
  const ran = [];
  const client = connectTo(server, { tools: { locate: () => ran.push(1) } });
  await client.connect();
  server.ask();
  await until(() => client.state.runs[0].message.parts.length);
  assert.deepEqual(ran, []);
});

test("a tool that the server does not know is declared, at each way in", async () => {
  const server = asking();
  const draw = { description: "Draw.", parameters: { type: "object" }, deadline_s: 60, run: () => "drawn" };
  const client = connectTo(server, { tools: { draw, locate: () => 1 } });
  await client.connect();
  const declared = [{ name: "draw", description: "Draw.", parameters: { type: "object" }, deadline_s: 60 }];
  assert.deepEqual(server.handshakes, [{ tools: declared }]);
  await client.create();
  assert.deepEqual(server.commands.find(([name]) => name === "create")[1], { tools: declared });
});

test("work in one tab at a time: by locks where there are some, else by notes", async () => {
  const store = new Store();
  const storage = new Keep(() => store);
  const asked = [];
  const locks = { request: (name, work) => (asked.push(name), work()) };
  assert.equal(await inOneTab("a", async () => 7, { storage, locks }), 7);
  assert.deepEqual(asked, ["a"]);

  let within = 0;
  const work = async () => {
    assert.equal(++within, 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    within--;
  };
  await Promise.all([1, 2].map(() => inOneTab("a", work, { storage, locks: null })));
  assert.equal(storage.getItem("a"), null, "the notes are gone");
  storage.setItem("a", JSON.stringify({ me: "closed tab", at: Date.now() - 60_000 }));
  assert.equal(await inOneTab("a", async () => 8, { storage, locks: null }), 8);
});

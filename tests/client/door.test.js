/** What keeps a message, or a connection, from coming about. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { afterEach, test } from "node:test";
import { places, whyNot } from "../../client/reach.js";
import { SessionClient } from "../../client/session.js";
import { Keep } from "../../client/storage.js";
import { FakeServer, Store } from "./support/fake.js";

const clients = [];
const servers = [];
afterEach(() => {
  clients.splice(0).forEach((client) => client.close());
  servers.splice(0).forEach((server) => server.close());
});

function connectTo(server, parts = {}) {
  const client = new SessionClient({ io: server.io, storage: new Store(), ackTimeout: 200, ...parts });
  clients.push(client);
  return client;
}

async function until(client, condition) {
  for (const end = Date.now() + 3000; !condition(client); ) {
    assert.ok(Date.now() < end, `not within 3 s: ${condition}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** An HTTP server. @returns {Promise<string>} its URL */
async function answering(handler) {
  const server = createServer(handler);
  servers.push(server);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}
const json = (response, status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));

const LIMITS = { limits: { text_bytes: 30, frame_bytes: 1000 } };
const info = Promise.resolve(LIMITS);
const texts = ({ state }) => state.runs.map((run) => run.user?.text);
const sent = (server) => server.commands.filter(([name]) => name === "send").map(([, { text }]) => text);

test("the limit counts bytes of UTF-8; what is over it is not posted, and nothing waits for it", async () => {
  const server = new FakeServer();
  const client = connectTo(server, { info });
  await client.connect();
  const over = client.send("字".repeat(11));
  const fits = client.send("字".repeat(10));
  await assert.rejects(over, { code: "too_large", message: /33 bytes, at most 30/ });
  await fits;
  assert.deepEqual(sent(server), ["字".repeat(10)]);
  const [{ text, status, error }] = client.pending;
  assert.deepEqual([text, status, error.code], ["字".repeat(11), "failed", "too_large"]);
});

test("any command that is larger than a frame is refused here", async () => {
  const server = new FakeServer();
  const client = connectTo(server, { info });
  await client.connect();
  await assert.rejects(client.approve("t", "deny", "\u0001".repeat(300)), { code: "too_large" });
  assert.deepEqual(server.commands, []);
});

test("one that is nested more deeply than the server reads is refused here", async () => {
  const server = new FakeServer();
  const client = connectTo(server, { info });
  await client.connect();
  const nested = (levels) => (levels ? [nested(levels - 1)] : 1);
  const request = (levels) => client.request("history", { nested: nested(levels) });
  await assert.rejects(request(127), { code: "too_large", message: /at most 128 levels/ });
  assert.deepEqual(server.commands, []);
  await request(126);
});

test("it is said before there is a connection, once the limit is known", async () => {
  const server = new FakeServer();
  server.deaf = true;
  const client = connectTo(server, { info });
  client.send("x".repeat(31));
  client.connect();
  await until(client, ({ pending }) => pending[0].status === "failed");
});

test("without a page around it, the client asks the server for its limits", async () => {
  const asked = [];
  const url = await answering((request, response) => {
    asked.push(request.url);
    json(response, 200, LIMITS);
  });
  const server = new FakeServer();
  const client = connectTo(server, { url, io: (_, settings) => server.io(settings), options: { path: "/ai/socket.io" } });
  const over = client.send("x".repeat(31));
  await client.connect();
  await assert.rejects(over, { code: "too_large" });
  assert.deepEqual([asked, sent(server)], [["/ai/api/info"], []]);
});

test("a server that names no limits, or nothing that can be asked, holds up no message", async () => {
  const url = await answering((request, response) => response.writeHead(404).end("<h1>no"));
  const server = new FakeServer();
  const client = connectTo(server, { url, io: (_, settings) => server.io(settings) });
  await client.connect();
  assert.equal((await client.send("x".repeat(31))).status, "started");
});

test("a message that breaks the connection three times fails, and holds up no other", async () => {
  const server = new FakeServer();
  server.largestFrame = 500;
  const tab = new Store();
  const client = connectTo(server, { tab });
  await client.connect();
  const breaks = client.send("x".repeat(600));
  await Promise.all([assert.rejects(breaks, { code: "broken" }), client.send("short")]);
  assert.equal(server.handshakes.length, 4);
  client.close();

  const again = connectTo(server, { tab });
  await again.connect();
  await again.send("after the reload");
  assert.deepEqual(texts(again), ["short", "after the reload"]);
  const [{ client_msg_id, status, error }] = again.pending;
  assert.deepEqual([status, error.code], ["failed", "broken"]);

  server.largestFrame = Infinity;
  again.retry(client_msg_id);
  await until(again, ({ pending }) => pending.length === 0);
  assert.equal(texts(again).at(-1).length, 600);
});

test("breaks are counted across reloads", async () => {
  const server = new FakeServer();
  server.largestFrame = 500;
  const tab = new Store();
  const before = () => JSON.parse(tab.getItem("realtime.outbox"))[0].breaks ?? 0;
  const first = connectTo(server, { tab });
  await first.connect();
  first.send("x".repeat(600)).catch(() => {});
  await until(first, () => before() === 1);
  first.close();
  const second = connectTo(server, { tab });
  await second.connect();
  await until(second, ({ pending }) => pending[0].status === "failed");
  assert.ok(server.handshakes.length <= 4);
});

test("a failed message that the log holds after all is not failed", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  const commit = server.answer.bind(server);
  server.answer = (socket, name, payload) => {
    commit(socket, name, payload);
    if (name === "send") socket.watching = false, socket.drop("transport close"); // before its event and its ack
  };
  client.send("kept");
  await until(client, ({ pending }) => pending.length === 0 || pending[0].status === "failed");
  await until(client, ({ pending, connection }) => connection === "live" && pending.length === 0);
  assert.deepEqual(texts(client), ["kept"]);
});

test("what storage holds need not be ours, and storage may throw", async () => {
  const broken = new Proxy({}, { get: () => () => { throw new Error("blocked"); } });
  const spoilt = new Store([["realtime.session", "{"], ["realtime.outbox", '{"a":1}'], ["realtime.token", "t"]]);
  for (const storage of [broken, spoilt, () => { throw new Error("blocked"); }]) {
    const server = new FakeServer();
    const client = connectTo(server, { storage });
    await client.connect();
    await client.send("hello");
    server.cut();
    await until(client, ({ connection }) => connection === "live");
    assert.deepEqual([texts(client), server.handshakes.at(-1).session_id], [["hello"], "s"]);
  }
});

test("storage that was too full for something lasts again once that is gone", () => {
  const small = new Store();
  small.removeItem = (key) => small.delete(key);
  small.setItem = (key, value) => {
    if (value.length > 10) throw new Error("quota");
    small.set(key, value);
  };
  const keep = new Keep(() => small);
  keep.setItem("a", "x");
  assert.equal(keep.lasting, true);
  keep.setItem("b", "x".repeat(11));
  assert.deepEqual([keep.lasting, keep.getItem("b"), keep.getItem("a")], [false, "x".repeat(11), "x"]);
  keep.setItem("b", "y");
  assert.deepEqual([keep.lasting, small.get("b")], [true, "y"]);
  keep.setItem("b", "x".repeat(11));
  keep.removeItem("b");
  assert.deepEqual([keep.lasting, keep.getItem("b")], [true, null]);
});

test("while no connection comes about, its client says why, and goes on trying", async () => {
  let status = 503;
  const url = await answering((request, response) => json(response, status, { error: { code: "draining", message: "restarting" } }));
  const server = new FakeServer();
  server.away = true;
  const client = connectTo(server, { url, io: (_, settings) => server.io(settings) });
  const opened = client.connect();
  await until(client, ({ error }) => error?.message === "restarting");
  assert.equal(client.connection, "connecting");
  server.away = false;
  await opened;
  assert.deepEqual([client.connection, client.error], ["live", null]);
});

test("a token that cannot be had is a reason too", async () => {
  const server = new FakeServer();
  const token = () => Promise.reject(new Error("The sign-in service cannot be reached."));
  const client = connectTo(server, { token });
  client.connect();
  await until(client, ({ error }) => error?.message === "The sign-in service cannot be reached.");
  assert.equal(client.connection, "connecting");
});

test("why a server is not reached", async () => {
  const cases = [
    [403, { code: 4, message: "Forbidden" }, "forbidden_origin"],
    [429, { error: { code: "rate_limited", message: "too many" } }, "rate_limited"],
    [502, "not JSON", "unreachable"],
    [400, { code: 2, message: "Bad handshake method" }, "unreachable"],
  ];
  for (const [status, body, code] of cases) {
    const url = await answering((request, response) => json(response, status, body));
    assert.equal((await whyNot(places(url))).code, code);
  }
  assert.equal((await whyNot(places("http://127.0.0.1:9"))).message, "The server cannot be reached.");
});

test("where the server is", () => {
  const at = (...parts) => Object.values(places(...parts)).map(String);
  assert.deepEqual(at("https://a.example"), ["https://a.example/socket.io/", "https://a.example/api/info"]);
  assert.deepEqual(at("ws://a.example:81/x", "/ai/socket.io"), ["http://a.example:81/ai/socket.io/", "http://a.example:81/ai/api/info"]);
});

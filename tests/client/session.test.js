import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { deferred } from "../../client/deferred.js";
import { SessionClient } from "../../client/session.js";
import { FakeServer, Store } from "./support/fake.js";
import { history, random } from "./support/histories.js";

const clients = [];
afterEach(() => clients.splice(0).forEach((client) => client.close()));

function connectTo(server, parts = {}) {
  const client = new SessionClient({ io: server.io, storage: new Store(), ackTimeout: 200, ...parts });
  clients.push(client);
  return client;
}

/** Until the condition holds. */
async function until(client, condition) {
  for (const end = Date.now() + 3000; !condition(client); ) {
    assert.ok(Date.now() < end, `not within 3 s: ${condition}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const live = ({ connection }) => connection === "live";
const texts = ({ state }) => state.runs.map((run) => run.user?.text);
const started = (length = 60, seed = 7) => {
  const server = new FakeServer();
  const events = history(seed, { length });
  return { server, events, feed: (count, options) => events.splice(0, count).forEach((event) => server.append(event, options)) };
};
/** What a client that was never disturbed would know. */
const truth = async (server) => {
  const client = connectTo(server);
  return client.connect();
};

test("connects, keeps the guest token, and knows the log", async () => {
  const { server, feed } = started();
  feed(30);
  const storage = new Store();
  const client = connectTo(server, { storage });
  const state = await client.connect();
  assert.equal(state.last_seq, 30);
  assert.equal(client.connection, "live");
  assert.equal(client.model, "demo");
  assert.deepEqual(server.handshakes, [{}]);
  assert.equal(await client.bearer(), "guest-1");
  feed(10);
  await until(client, ({ state: { last_seq } }) => last_seq === 40);
  assert.deepEqual(client.state, await truth(server));
});

test("a reconnect sends the cursor, a reload the session and its share", async () => {
  const { server, feed } = started();
  const tab = new Store();
  const storage = new Store();
  const client = connectTo(server, { tab, storage });
  await client.open("s", "let-me-in");
  feed(20);
  await until(client, ({ state }) => state.last_seq === 20);
  server.cut();
  feed(20);
  await until(client, (now) => live(now) && now.state.last_seq === 40);
  assert.deepEqual(server.handshakes.at(-1), { token: "guest-1", session_id: "s", share: "let-me-in", epoch: 1, after_seq: 20 });
  client.close();
  const again = connectTo(server, { tab, storage });
  assert.equal(again.stored, "s");
  await again.connect();
  assert.deepEqual(server.handshakes.at(-1), { token: "guest-1", session_id: "s", share: "let-me-in" });
  assert.deepEqual(again.state, client.state);
});

test("each new event is told once: live, and what a reconnect or a gap brings", async () => {
  const { server, feed } = started();
  feed(10);
  const client = connectTo(server);
  const told = [];
  const whole = ({ event }) => event !== "token"; // neighbouring ones are replayed as one
  client.onEvent((event) => whole(event) && told.push(event.seq));
  await client.connect(); // a snapshot is no news
  feed(10);
  server.cut();
  feed(10);
  await until(client, (now) => live(now) && now.state.last_seq === 30);
  feed(5, { lost: true });
  feed(5);
  await until(client, ({ state }) => state.last_seq === 40);
  const given = history(7, { length: 60 }).slice(10, 40).filter(whole);
  assert.deepEqual(told, given.map(({ seq }) => seq));
});

test("a gap is filled by one join, while later events wait", async () => {
  const { server, feed } = started();
  const client = connectTo(server);
  await client.connect();
  feed(5);
  feed(5, { lost: true });
  feed(20);
  await until(client, ({ state }) => state.last_seq === 30);
  const joins = server.commands.filter(([name]) => name === "join");
  assert.deepEqual(joins, [["join", { session_id: "s", epoch: 1, after_seq: 5 }]]);
  assert.deepEqual(client.state, await truth(server));
});

test("pages are asked for one after the other until the head", async () => {
  const { server, feed } = started();
  const client = connectTo(server);
  await client.connect();
  server.pageSize = 7;
  server.cut();
  feed(50);
  await until(client, (now) => live(now) && now.state.last_seq === 50);
  const asked = server.commands.map(([, { after_seq }]) => after_seq);
  assert.deepEqual(asked, [7, 14, 21, 28, 35, 42, 49]);
  assert.deepEqual(client.state, await truth(server));
});

test("another epoch: the old state is dropped", async () => {
  const { server, feed } = started();
  feed(20);
  const client = connectTo(server);
  await client.connect();
  server.epoch = 2;
  server.log.length = 12;
  server.cut();
  await until(client, (now) => live(now) && now.state.epoch === 2);
  assert.equal(client.state.last_seq, 12);
});

test("a message said offline is sent once there is a connection", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  const sent = client.send("early");
  assert.deepEqual(client.pending.map(({ text, status }) => [text, status]), [["early", "waiting"]]);
  await client.connect();
  assert.equal((await sent).status, "started");
  await until(client, (now) => now.pending.length === 0);
  assert.deepEqual(texts(client), ["early"]);
});

test("a lost ack is retried under the same id, over a new connection, in order", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  server.swallowAcks = true;
  const sent = ["one", "two", "three"].map((text) => client.send(text));
  await until(client, () => server.log.length === 1);
  server.cut();
  server.swallowAcks = false;
  const acks = await Promise.all(sent);
  assert.deepEqual(acks.map(({ status }) => status), ["duplicate", "started", "started"]);
  await until(client, (now) => now.pending.length === 0);
  assert.deepEqual(texts(client), ["one", "two", "three"]);
  const ids = server.commands.filter(([name]) => name === "send").map(([, { client_msg_id }]) => client_msg_id);
  assert.equal(new Set(ids).size, 3);
});

test("the ack of a message that steers may take long, and holds up nothing", async () => {
  const server = new FakeServer();
  const { promise, resolve } = deferred();
  server.steered = promise;
  const client = connectTo(server, { ackTimeout: 30 });
  await client.connect();
  const steered = client.send("in blue", { if_busy: "steer" });
  assert.equal((await client.send("then frame it")).status, "started");
  assert.deepEqual([client.pending, texts(client)], [[], ["in blue", "then frame it"]]);
  await new Promise((done) => setTimeout(done, 60)); // longer than other acks may take
  resolve("consumed");
  assert.equal((await steered).status, "consumed");
  assert.deepEqual(client.outbox.entries, []);
  assert.equal(server.commands.filter(([name]) => name === "send").length, 2);
});

test("a message that steers is sent, even if the connection ends before that is decided", async () => {
  const server = new FakeServer();
  server.steered = deferred().promise;
  const tab = new Store();
  const client = connectTo(server, { tab });
  await client.connect();
  const steered = client.send("in blue", { if_busy: "steer" });
  await until(client, (now) => texts(now).includes("in blue"));
  server.cut();
  assert.equal((await steered).status, "duplicate");
  await until(client, live);
  assert.deepEqual([texts(client), client.outbox.entries], [["in blue"], []]);
  assert.deepEqual(JSON.parse(tab.getItem("realtime.outbox")), []);
});

test("unsent messages survive a reload", async () => {
  const server = new FakeServer();
  const tab = new Store();
  const first = connectTo(server, { tab });
  await first.connect();
  server.deaf = true;
  first.send("keep me");
  first.close();
  server.deaf = false;
  const second = connectTo(server, { tab });
  assert.deepEqual(second.pending.map(({ text }) => text), []); // not known yet to belong here
  await second.connect();
  await until(second, (now) => texts(now).includes("keep me") && now.pending.length === 0);
  assert.deepEqual(JSON.parse(tab.getItem("realtime.outbox")), []);
});

test("a refusal for good fails the message, and it can be tried again or dropped", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  server.refuse = (name) => name === "send" && { code: "too_large", message: "too long", retryable: false };
  await assert.rejects(client.send("a"), { code: "too_large" });
  await assert.rejects(client.send("b"), { code: "too_large" });
  const [a, b] = client.pending;
  assert.deepEqual([a.status, a.error.message], ["failed", "too long"]);
  server.refuse = null;
  client.drop(a.client_msg_id);
  client.retry(b.client_msg_id);
  await until(client, (now) => now.pending.length === 0);
  assert.deepEqual(texts(client), ["b"]);
});

test("a refused message knows what was said later, until it is tried again", async () => {
  const server = new FakeServer();
  const tab = new Store();
  const client = connectTo(server, { tab });
  await client.connect();
  server.refuse = (name, { text }) => name === "send" && text === "no" && { code: "bad_request", message: "no", retryable: false };
  await client.send("a");
  await assert.rejects(client.send("no"));
  assert.equal(client.pending[0].before, undefined);
  const { seq } = await client.send("b");
  await client.send("c");
  assert.equal(client.pending[0].before, seq);
  assert.equal(JSON.parse(tab.getItem("realtime.outbox"))[0].before, seq);
  client.retry(client.pending[0].client_msg_id);
  await until(client, (now) => now.pending[0]?.status === "failed");
  assert.equal(client.pending[0].before, undefined);
});

test("a passing refusal is waited out", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  let times = 0;
  server.refuse = (name) => name === "send" && ++times < 3 && { code: "draining", message: "restarting", retryable: true, retry_after_ms: 5 };
  assert.equal((await client.send("patience")).ok, true);
  assert.equal(times, 3);
});

test("a limit says when the message is sent again, and somebody may try at once", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  const before = Date.now();
  server.refuse = (name) => name === "send" && { code: "rate_limited", message: "ten a minute", retryable: true, retry_after_ms: 60_000 };
  client.send("one too many");
  await until(client, ({ pending }) => pending[0].retry_at);
  const [{ client_msg_id, status, error, retry_at }] = client.pending;
  assert.deepEqual([status, error.message], ["waiting", "ten a minute"]);
  assert.ok(retry_at >= before + 60_000);
  server.refuse = null;
  client.retry(client_msg_id);
  await until(client, (now) => now.pending.length === 0);
  assert.deepEqual(texts(client), ["one too many"]);
});

test("a dropped message rejects, and those behind it wait for it no longer", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  server.refuse = (name, { text }) => name === "send" && text === "one too many" && { code: "rate_limited", message: "ten a minute", retryable: true, retry_after_ms: 60_000 };
  const dropped = client.send("one too many");
  const behind = client.send("behind it");
  await until(client, ({ pending }) => pending[0].retry_at);
  client.drop(client.pending[0].client_msg_id);
  await assert.rejects(dropped, { code: "dropped" });
  await behind;
  assert.deepEqual(texts(client), ["behind it"]);
});

test("a client that was closed and connects again notices the page as before", async () => {
  const window = Object.assign(new EventTarget(), { document: new EventTarget() });
  const server = new FakeServer();
  const client = connectTo(server, { window });
  await client.connect();
  client.close();
  window.dispatchEvent(new Event("online"));
  assert.equal(client.connection, "offline");
  await client.connect();
  window.dispatchEvent(new Event("online"));
  await until(client, () => server.commands.some(([name]) => name === "join"));
});

test("a token is renewed on the socket before it expires", async () => {
  const server = new FakeServer();
  const tokens = ["first", "second"];
  const client = connectTo(server, { token: async () => tokens.shift() });
  await client.connect();
  const [socket] = server.sockets;
  socket.receive("server", { type: "token_expiring" });
  await until(client, () => server.commands.length);
  await until(client, ({ notice }) => notice === null);
  assert.deepEqual(server.commands, [["auth", { token: "second" }]]);
  assert.equal(server.handshakes.length, 1);
});

test("a token that cannot be renewed there is given with a new connection", async () => {
  const server = new FakeServer();
  const tokens = ["first", "second", "third"];
  const client = connectTo(server, { token: async () => tokens.shift() });
  await client.connect();
  server.refuse = (name) => name === "auth" && { code: "unauthorized", message: "not this one" };
  [...server.sockets][0].receive("server", { type: "token_expiring" });
  await until(client, () => server.handshakes.length === 2);
  await until(client, live);
  assert.deepEqual(server.handshakes.map(({ token }) => token), ["first", "third"]);
});

test("a hook that has no token yet is asked again", async () => {
  const server = new FakeServer();
  let asked = 0;
  const token = async () => (asked++ ? "late" : Promise.reject(new Error("not reached")));
  await connectTo(server, { token }).connect();
  assert.deepEqual(server.handshakes.map((auth) => auth.token), ["late"]);
});

test("what passes is waited out, and said meanwhile", async () => {
  const server = new FakeServer();
  const error = { code: "rate_limited", message: "too many devices", retryable: true, retry_after_ms: 20 };
  server.welcome = { error };
  const client = connectTo(server);
  const opened = client.connect();
  await until(client, (now) => now.error?.message === "too many devices");
  assert.equal(client.connection, "connecting");
  server.welcome = null;
  await opened;
  assert.equal(client.error, null);
});

test("what the server lets us do is known", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  assert.equal(client.access, "owner");
  server.welcome = { ...server.session({}), access: "read", you: "me" };
  server.cut();
  await until(client, ({ access }) => access === "read");
  assert.equal(client.user_id, "me");
});

test("the server's disconnect does not end it", async () => {
  const { server, feed } = started();
  const client = connectTo(server);
  await client.connect();
  server.cut("io server disconnect");
  assert.equal(client.connection, "connecting");
  feed(10);
  await until(client, (now) => live(now) && now.state.last_seq === 10);
});

test("a half-open connection is noticed when the page wakes up", async (context) => {
  const page = new EventTarget();
  const window = Object.assign(new EventTarget(), { document: page });
  const { server, feed } = started();
  const client = connectTo(server, { window });
  await client.connect();
  const [socket] = server.sockets;
  context.mock.timers.enable({ apis: ["setTimeout"] });
  server.deaf = true;
  socket.watching = false;
  feed(10);
  page.dispatchEvent(new Event("visibilitychange"));
  context.mock.timers.tick(3000); // the probe gets no answer
  server.deaf = false;
  context.mock.timers.reset();
  await until(client, (now) => live(now) && now.state.last_seq === 10);
  assert.equal(server.handshakes.length, 2);
  for (const name of ["online", "offline"]) {
    server.commands = [];
    window.dispatchEvent(new Event(name)); // a live one answers, and stays
    await until(client, () => server.commands.some(([name]) => name === "join"));
    await new Promise((answered) => setTimeout(answered, 50));
    assert.deepEqual([client.connection, server.handshakes.length], ["live", 2]);
  }
});

test("where the browser says that it is offline, a silent connection is given up sooner", async (context) => {
  const window = new EventTarget();
  const { server } = started();
  const client = connectTo(server, { window });
  await client.connect();
  const browser = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { onLine: false }, configurable: true });
  context.after(() => (browser ? Object.defineProperty(globalThis, "navigator", browser) : delete globalThis.navigator));
  context.mock.timers.enable({ apis: ["setTimeout"] });
  server.deaf = true;
  window.dispatchEvent(new Event("offline"));
  context.mock.timers.tick(1000);
  context.mock.timers.reset();
  await until(client, (now) => now.connection === "connecting");
  server.deaf = false;
  await until(client, live);
});

test("without an answer to the handshake it dials again", async () => {
  const server = new FakeServer();
  server.deaf = true;
  const client = connectTo(server, { ackTimeout: 30 });
  const opened = client.connect();
  await until(client, () => server.handshakes.length >= 1);
  server.deaf = false;
  await opened;
  assert.ok(server.handshakes.length >= 2);
});

test("a session that is not there is an error, and a new one can be begun", async () => {
  const server = new FakeServer();
  server.welcome = { session_id: "gone", error: { code: "not_found", message: "no such session", retryable: false } };
  const client = connectTo(server);
  await assert.rejects(client.open("gone"), { code: "not_found" });
  assert.equal(client.connection, "error");
  server.welcome = null;
  await client.create();
  assert.equal(client.connection, "live");
  assert.equal(client.error, null);
});

test("a refused CONNECT is an error, unless it passes", async () => {
  const server = new FakeServer();
  server.refuseConnect = Object.assign(new Error("bad token"), { data: { code: "unauthorized", message: "bad token" } });
  const client = connectTo(server, { token: "wrong" });
  await assert.rejects(client.connect(), { code: "unauthorized" });
  assert.equal(client.connection, "error");
  server.refuseConnect = Object.assign(new Error("full"), { data: { code: "rate_limited", message: "full", retryable: true, retry_after_ms: 5 } });
  const opened = client.connect();
  await until(client, ({ connection }) => connection === "connecting");
  setTimeout(() => (server.refuseConnect = null), 20);
  await opened;
});

test("create switches and leaves the old session; its events are not mixed in", async () => {
  const { server, feed } = started();
  feed(20);
  const client = connectTo(server);
  await client.connect();
  await client.create();
  feed(10);
  await until(client, () => server.commands.some(([name]) => name === "leave"));
  assert.deepEqual([client.state.session_id, client.state.runs, client.stored], ["t", [], "t"]);
  await client.open("s");
  assert.equal(client.state.last_seq, 30);
});

test("a first session has the options that it was begun with, and what was said before", async () => {
  const { server } = started();
  const client = connectTo(server);
  const said = client.send("hello");
  await client.create({ model: "large" });
  await said;
  const asked = (name) => server.commands.filter(([one]) => one === name).map(([, payload]) => payload);
  assert.deepEqual(server.handshakes, [{}], "a handshake has none");
  assert.deepEqual(asked("create"), [{ options: { model: "large" } }]);
  assert.deepEqual(asked("leave"), [{ session_id: "s" }]);
  assert.deepEqual(asked("send").map(({ session_id }) => session_id), ["t"]);
});

test("a refused create leaves everything as it was", async () => {
  const { server, feed } = started();
  feed(10);
  const client = connectTo(server);
  await client.connect();
  server.refuse = (name) => name === "create" && { code: "rate_limited", message: "too many", retryable: true };
  const refused = assert.rejects(client.create(), { code: "rate_limited" });
  feed(5);
  await refused;
  await until(client, ({ state }) => state.last_seq === 15);
  assert.equal(client.connection, "live");
});

/** What was said, and in which session, as the server was told. */
const said = (server) => server.commands.flatMap(([name, { session_id, text }]) => (name === "send" ? [`${text} in ${session_id}`] : []));
const left = (server) => server.commands.flatMap(([name, { session_id }]) => (name === "leave" ? [session_id] : []));

test("what is said on the way to another session belongs there", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  for (const [move, name] of [[() => client.create(), "create"], [() => client.open("u"), "join"]]) {
    const { promise, resolve } = deferred();
    server.held = { [name]: promise };
    const moved = move();
    const sent = client.send(name);
    resolve();
    await Promise.all([moved, sent]);
  }
  assert.deepEqual(said(server), ["create in t", "join in u"]);
});

/** A client in a session, from which a way is as long as it takes until `arrive()`. */
async function underWay() {
  const { server, feed } = started();
  feed(20);
  const client = connectTo(server, { ackTimeout: 5000 });
  const before = await client.connect();
  const { promise, resolve: arrive } = deferred();
  server.held = { join: promise };
  return { server, client, before, arrive };
}

test("where the way is long, the session at its end is shown, with what is said there", async () => {
  const { server, client, before, arrive } = await underWay();
  const moved = client.open("u");
  const sent = client.send("hello");
  assert.equal(client.state, before, "a short one shows nothing in between");
  await until(client, ({ state }) => !state.session_id);
  assert.deepEqual(client.pending.map(({ text }) => text), ["hello"]);
  arrive();
  await Promise.all([moved, sent]);
  assert.deepEqual([said(server), left(server)], [["hello in u"], ["s"]]);
});

test("a long way that leads nowhere ends where it began", async () => {
  const { server, client, before, arrive } = await underWay();
  server.refuse = (name, { session_id }) => name === "join" && session_id === "u" && { code: "not_found", message: "no" };
  const refused = assert.rejects(client.open("u"), { code: "not_found" });
  await until(client, ({ state }) => !state.session_id);
  arrive();
  await refused;
  await until(client, live);
  assert.deepEqual(client.state, before);
});

test("a file that is chosen on the way is uploaded there, and an edited question stays where it was", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  const uploaded = [];
  client.files.upload = async (session_id) => uploaded.push(session_id);
  const { promise, resolve } = deferred();
  server.held = { join: promise };
  const moved = client.open("u");
  const chosen = client.upload(new Blob(["1"]));
  const edited = client.send("again", { replaces: "q-1" });
  resolve();
  await Promise.all([moved, chosen, edited]);
  assert.deepEqual([uploaded, said(server)], [["u"], ["again in s"]]);
});

test("a connection that is lost on the way comes back to where one was going", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.open("u");
  server.held = { create: new Promise(() => {}) };
  const moved = client.create();
  const sent = client.send("hello");
  await until(client, () => server.commands.some(([name]) => name === "create"));
  server.cut();
  await Promise.all([moved, sent]);
  assert.equal(server.handshakes.at(-1).session_id, undefined, "a new one");
  assert.deepEqual(said(server), ["hello in s"], "which this server calls s");
});

test("no answer on the way: it goes there by another connection", async () => {
  const server = new FakeServer();
  const client = connectTo(server, { ackTimeout: 30 });
  await client.connect();
  server.deaf = true;
  const moved = client.open("u");
  await until(client, ({ connection }) => connection === "connecting");
  server.deaf = false;
  assert.equal((await moved).session_id, "u");
});

test("a closed client stays closed, whatever it was on the way to", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  server.held = { create: new Promise(() => {}) };
  const moved = client.create();
  client.close();
  await moved;
  assert.deepEqual([client.connection, client.stored, server.handshakes.length], ["offline", "s", 1]);
});

test("a move that another one overtakes: each message goes where it was said", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  const { promise, resolve } = deferred();
  server.held = { create: promise };
  const moves = [client.create()];
  const sent = [client.send("new")];
  moves.push(client.create());
  sent.push(client.send("newer"));
  moves.push(client.open("u"));
  sent.push(client.send("known"));
  await moves[2];
  resolve();
  await Promise.all([...moves, ...sent]);
  assert.equal(client.state.session_id, "u");
  assert.deepEqual(said(server).sort(), ["known in u", "new in t", "newer in t2"]);
  await until(client, () => left(server).length === 3);
  assert.deepEqual(left(server).sort(), ["s", "t", "t2"]);
});

test("what is said before one goes elsewhere begins a session of its own, also after a reload", async () => {
  const server = new FakeServer();
  const tab = new Store();
  const client = connectTo(server, { tab });
  server.away = true;
  client.create({ model: "large" });
  const sent = client.send("hello");
  client.open("u");
  const behind = client.send("and here");
  client.open("v");
  assert.deepEqual(client.pending, []);
  client.close();
  server.away = false;
  const reloaded = connectTo(server, { tab });
  await reloaded.connect();
  await until(reloaded, ({ outbox }) => outbox.entries.length === 0);
  assert.deepEqual(said(server).sort(), ["and here in u", "hello in t"]);
  assert.deepEqual(server.commands.find(([name]) => name === "create")[1], { options: { model: "large" } });
  assert.deepEqual([reloaded.state.session_id, left(server)], ["v", ["t"]]);
});

test("what was said for a session that does not begin can be said where one is", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  server.refuse = (name) => name === "create" && { code: "rate_limited", message: "too many", retryable: true };
  const moved = assert.rejects(client.create(), { code: "rate_limited" });
  await assert.rejects(client.send("hello"), { code: "rate_limited" });
  await moved;
  const [{ client_msg_id, status }] = client.pending;
  assert.deepEqual([status, said(server)], ["failed", []]);
  client.retry(client_msg_id);
  await until(client, ({ pending }) => !pending.length);
  assert.deepEqual(said(server), ["hello in s"]);
});

test("what waits in one session holds up no other", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  server.refuse = (name, { session_id }) => name === "send" && session_id === "s" && { code: "rate_limited", message: "ten a minute", retryable: true, retry_after_ms: 60_000 };
  const held = assert.rejects(client.send("one too many"), { code: "dropped" });
  await until(client, ({ pending }) => pending[0].retry_at);
  await client.create();
  await client.send("hello");
  assert.deepEqual(said(server), ["one too many in s", "hello in t"]);
  client.drop(client.outbox.entries[0].client_msg_id);
  await held;
});

test("commands carry the session and return their ack", async () => {
  const { server, feed } = started();
  feed(10);
  const client = connectTo(server);
  await assert.rejects(client.stop(), { code: "offline", retryable: true });
  await client.connect();
  await client.stop("r1");
  await client.continue("r1");
  await client.approve("t1", "deny", "no");
  await client.end();
  assert.equal(await client.share(), "let-me-in");
  await client.share("read");
  await client.unshare();
  assert.deepEqual(server.commands, [
    ["stop", { session_id: "s", run_id: "r1" }],
    ["continue", { session_id: "s", run_id: "r1" }],
    ["approve", { session_id: "s", tool_call_id: "t1", decision: "deny", reason: "no" }],
    ["end", { session_id: "s" }],
    ["share", { session_id: "s", access: "full" }],
    ["share", { session_id: "s", access: "read" }],
    ["unshare", { session_id: "s" }],
  ]);
});

test("presence, progress and the server's notices", async () => {
  const server = new FakeServer();
  const client = connectTo(server);
  await client.connect();
  const [socket] = server.sockets;
  socket.receive("presence", { session_id: "s", devices: 3 });
  socket.receive("progress", { session_id: "s", tool_call_id: "t1", message: "half" });
  socket.receive("server", { type: "draining", retry_in_ms: 10 });
  await until(client, ({ notice }) => notice?.type === "draining");
  assert.equal(client.devices, 3);
  assert.deepEqual(client.people, [], "an older server does not say");
  const people = [{ user_id: "u1", name: "Ada" }, { user_id: "u2" }];
  socket.receive("presence", { session_id: "s", devices: 3, people });
  await until(client, (now) => now.people.length === 2);
  assert.deepEqual(client.people, people);
  assert.equal(client.progress.get("t1").message, "half");
  server.cut();
  assert.equal(client.devices, 0);
  assert.deepEqual(client.people, []);
  await until(client, live);
  assert.equal(client.notice, null);
});

test("a guest's name goes with each handshake, and a change of it at once", async () => {
  const server = new FakeServer();
  const storage = new Store();
  const client = connectTo(server, { storage });
  await client.rename("Ada");
  await client.connect();
  assert.equal(server.handshakes.at(-1).name, "Ada");
  await client.rename("Ada L.");
  assert.deepEqual(server.commands, [["auth", { token: "guest-1", name: "Ada L." }]]);
  const reloaded = connectTo(server, { storage });
  await reloaded.connect();
  assert.equal(server.handshakes.at(-1).name, "Ada L.");
  await reloaded.rename("");
  server.cut();
  await until(reloaded, live);
  assert.ok(!("name" in server.handshakes.at(-1)));
});

test("50 random storms of cuts, lost events and small pages: nothing lost, nothing doubled", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const next = random(seed);
    const { server, events, feed } = started(150, seed);
    server.pageSize = 1 + Math.floor(next() * 30);
    const client = connectTo(server);
    await client.connect();
    while (events.length) {
      feed(1 + Math.floor(next() * 8), { lost: next() < 0.15 });
      if (next() < 0.2) server.cut();
      if (next() < 0.05) server.cut("io client disconnect"), client.connect();
      if (next() < 0.5) await new Promise((resolve) => setImmediate(resolve));
    }
    server.append({ event: "session_ended", end_time: 9, duration_seconds: 1 });
    await until(client, (now) => live(now) && now.state.last_seq === server.log.length);
    assert.deepEqual(client.state, await truth(server), `seed ${seed}`);
  }
});

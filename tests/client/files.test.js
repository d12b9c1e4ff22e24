import assert from "node:assert/strict";
import { createServer } from "node:http";
import { afterEach, test } from "node:test";
import { Files } from "../../client/files.js";
import { apply, initial } from "../../client/reducer.js";
import { SessionClient } from "../../client/session.js";
import { FakeServer, Store } from "./support/fake.js";

const open = [];
afterEach(() => open.splice(0).forEach((one) => one.close()));

/** A server that answers each request in turn, and keeps what it was asked. */
async function serverOf(...answers) {
  const asked = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    asked.push({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() });
    const { status, text } = answers.shift();
    response.writeHead(status).end(text);
  });
  open.push(server);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { asked, base: new URL(`http://127.0.0.1:${server.address().port}/ai/api/`) };
}

const json = (status, body) => ({ status, text: JSON.stringify(body) });
const FILE = { id: "f", name: "a b.png", type: "image/png", size: 3 };

test("an upload is one request with the bytes, the name and who asks", async () => {
  const { asked, base } = await serverOf(json(201, { file: FILE }));
  const files = new Files(() => base, async () => "token", () => "share");
  const blob = new Blob(["abc"], { type: "image/png" });
  assert.deepEqual(await files.upload("s", blob, { name: "a b.png" }), FILE);
  const [{ method, url, headers, body }] = asked;
  assert.equal(`${method} ${url}`, "POST /ai/api/sessions/s/files?name=a%20b.png");
  assert.equal(body, "abc");
  assert.equal(headers["content-type"], "image/png");
  assert.equal(headers.authorization, "Bearer token");
  assert.equal(headers.share, "share");
});

test("a refusal is an error with its code, and so is a server that is not there", async () => {
  const { base } = await serverOf(
    json(413, { error: { code: "too_large", message: "a file may have 3 bytes at most" } }),
    { status: 502, text: "<html>" },
  );
  const files = new Files(() => base, async () => "token");
  await assert.rejects(files.upload("s", new Blob(["abcd"])), { code: "too_large", message: /3 bytes/ });
  await assert.rejects(files.upload("s", new Blob(["abcd"])), { code: "internal", message: /502/ });
  const nowhere = new Files(() => new URL("http://127.0.0.1:1/api/"), async () => "token");
  await assert.rejects(nowhere.upload("s", new Blob(["a"])), { code: "offline", retryable: true });
  const signal = AbortSignal.abort();
  await assert.rejects(nowhere.upload("s", new Blob(["a"]), { signal }), { code: "dropped" });
});

test("a link is asked for once, while it is good", async () => {
  const url = "api/sessions/s/files/f?token=t";
  const { asked, base } = await serverOf(
    json(200, { url, expires_at: Date.now() + 30_000 }),
    json(200, { url: `${url}2`, expires_at: Date.now() + 900_000 }),
  );
  const files = new Files(() => base, async () => "token");
  assert.equal(await files.url("s", "f"), new URL(`../${url}`, base).href);
  const [second, third] = [await files.url("s", "f"), await files.url("s", "f")];
  assert.equal(second, third);
  assert.match(second, /token=t2$/);
  assert.equal(asked.length, 2);
});

test("a message names its files by id, and waits with them", async () => {
  const server = new FakeServer();
  const client = new SessionClient({ io: server.io, storage: new Store(), ackTimeout: 200 });
  open.push(client);
  const ack = client.send("", { files: [FILE], if_busy: "reject" });
  assert.deepEqual(client.pending[0].options.files, [FILE]);
  await assert.rejects(client.upload(new Blob(["a"])), { code: "offline" });
  await client.connect();
  await ack;
  const [, payload] = server.commands.find(([name]) => name === "send");
  assert.deepEqual([payload.files, payload.text, payload.if_busy], [["f"], "", "reject"]);
  await client.send("no files");
  const last = server.commands.findLast(([name]) => name === "send")[1];
  assert.equal(last.files, undefined);
});

test("the state lists the files of messages and of calls", () => {
  const events = [
    { event: "user_message", seq: 1, run_id: "r", message_id: "q", client_msg_id: "c", text: "", user_id: "u", files: [FILE] },
    { event: "tool_call", seq: 2, run_id: "r", message_id: "a", tool_call_id: "t", name: "draw", status: "completed", files: [FILE] },
  ];
  const { runs } = events.reduce((state, event) => apply(state, event).state, initial());
  assert.deepEqual(runs[0].user.files, [FILE]);
  assert.deepEqual(runs[0].message.parts[0].call.files, [FILE]);
});

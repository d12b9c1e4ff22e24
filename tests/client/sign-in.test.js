// Against a stand-in for the project's endpoint; the browser test goes to a real one.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { SignIn } from "../../client/sign-in.js";
import { Store } from "./support/fake.js";

class Kept extends Store {
  removeItem = (key) => void this.delete(key);
}

const real = globalThis.fetch;
let asked, answer, lost, storage, user;

beforeEach(() => {
  asked = [];
  lost = 0;
  storage = new Kept();
  user = new SignIn({ url: "https://x.example", key: "public", storage, lost: () => lost++ });
  let issued = 0;
  answer = () => [200, { access_token: `a${++issued}`, refresh_token: `r${issued}`, expires_in: 3600, user: { id: "u", email: "e" } }];
  globalThis.fetch = async (url, { headers, body }) => {
    asked.push([url.replace("https://x.example/auth/v1/", ""), JSON.parse(body), headers]);
    const given = answer();
    if (!given) throw new TypeError("failed to fetch");
    return new Response(JSON.stringify(given[1]), { status: given[0] });
  };
});
afterEach(() => (globalThis.fetch = real));

const later = (context, ms) => context.mock.timers.enable({ apis: ["Date"], now: Date.now() + ms });

test("signs in, and keeps no password", async () => {
  await user.enter("e", "secret words");
  assert.deepEqual(asked[0].slice(0, 2), ["token?grant_type=password", { email: "e", password: "secret words" }]);
  assert.equal(asked[0][2].apikey, "public");
  assert.deepEqual(user.user, { id: "u", email: "e" });
  assert.equal(await user.token(), "a1");
  assert.equal(asked.length, 1);
  assert.ok(![...storage.values()].join().includes("secret words"));
});

test("a token near its end is renewed, once", async (context) => {
  await user.enter("e", "p");
  later(context, 3_520_000);
  assert.equal(await user.token(), "a2");
  assert.deepEqual(asked[1].slice(0, 2), ["token?grant_type=refresh_token", { refresh_token: "r1" }]);
  assert.equal(await user.token(), "a2");
  assert.equal(asked.length, 2);
});

test("while the project cannot be reached the old token serves to its end", async (context) => {
  await user.enter("e", "p");
  answer = () => null;
  later(context, 3_520_000);
  assert.equal(await user.token(), "a1");
  answer = () => [503, {}];
  assert.equal(await user.token(), "a1");
  context.mock.timers.reset();
  later(context, 3_700_000);
  await assert.rejects(user.token(), /503/);
  assert.equal(lost, 0);
  assert.ok(user.user, "it may come back");
});

test("a refused renewal signs out", async (context) => {
  await user.enter("e", "p");
  answer = () => [400, { msg: "Already used" }];
  later(context, 3_520_000);
  await assert.rejects(user.token(), { message: "Already used" });
  assert.deepEqual([user.user, lost], [null, 1]);
});

test("a new account may have to be confirmed first", async () => {
  answer = () => [200, { id: "u", email: "e" }];
  assert.equal(await user.join("e", "p"), false);
  assert.equal(user.user, null);
});

test("what is no sign-in is told in words, and is none", async (context) => {
  for (const other of [null, [], "page", {}, { access_token: "a" }, { user: { id: "u" } }]) {
    answer = () => [200, other];
    await assert.rejects(user.enter("e", "p"), /unexpected answer/);
    assert.equal(user.user, null);
  }
  answer = () => [400, null];
  await assert.rejects(user.enter("e", "p"), /answered 400/);
  answer = () => [200, { access_token: "a", refresh_token: "r", expires_in: 3600, user: { id: "u", email: "e" } }];
  await user.enter("e", "p");
  answer = () => [200, null];
  later(context, 3_520_000);
  assert.equal(await user.token(), "a"); // to its end
  assert.equal(lost, 0);
});

test("leaving tells the project, and does not wait for it to agree", async () => {
  await user.enter("e", "p");
  answer = () => [500, {}];
  await user.leave();
  assert.deepEqual([asked[1][0], asked[1][2].authorization], ["logout?scope=local", "Bearer a1"]);
  assert.equal(user.user, null);
});

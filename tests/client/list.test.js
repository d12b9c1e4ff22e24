import assert from "node:assert/strict";
import { test } from "node:test";
import { listWith } from "../../client/list.js";

const row = (session_id, active_at, more = {}) => ({
  session_id, active_at, pinned: false, archived: false, ...more,
});
const ids = (rows) => rows.map((one) => one.session_id).join("");

test("a row that changed goes to its place, pinned ones first", () => {
  let rows = [row("c", 3), row("b", 2), row("a", 1)];
  rows = listWith(rows, { sessions: [row("a", 4)], deleted: [] });
  assert.equal(ids(rows), "acb");
  rows = listWith(rows, { sessions: [row("b", 2, { pinned: true })], deleted: [] });
  assert.equal(ids(rows), "bac");
  rows = listWith(rows, { sessions: [row("d", 9)], deleted: ["a"] });
  assert.equal(ids(rows), "bdc");
});

test("each of the two lists has its own rows", () => {
  const change = { sessions: [row("a", 5, { archived: true }), row("b", 6)], deleted: [] };
  assert.equal(ids(listWith([row("a", 1)], change)), "b");
  assert.equal(ids(listWith([row("b", 1, { archived: true })], change, true)), "a");
});

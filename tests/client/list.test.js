import assert from "node:assert/strict";
import { test } from "node:test";
import { listAfter, listWith } from "../../client/list.js";

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

test("what was told while a page was read is newer than the page", () => {
  const told = [
    { sessions: [row("b", 7), row("n", 6)], deleted: ["d"] },
    { sessions: [row("n", 8)], deleted: [] },
    { sessions: [row("x", 9, { archived: true })], deleted: [] },
  ];
  const page = [row("d", 4), row("c", 3), row("b", 2), row("x", 1)];
  assert.equal(ids(listAfter([], page, told)), "nbc");
  assert.equal(ids(listAfter([row("z", 5), row("b", 5)], page, told)), "nbzc");
  assert.equal(ids(listAfter([row("c", 9)], page, [])), "dcbx", "the page is newer than the rows");
});

test("each of the two lists has its own rows", () => {
  const change = { sessions: [row("a", 5, { archived: true }), row("b", 6)], deleted: [] };
  assert.equal(ids(listWith([row("a", 1)], change)), "b");
  assert.equal(ids(listWith([row("b", 1, { archived: true })], change, true)), "a");
});

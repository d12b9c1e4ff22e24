"""Replay, snapshot and live stream lead to one state: over random histories, and by vectors."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core import fold as server_fold
from realtime.core.rows import Head
from realtime.core.session import Session
from realtime.core.shown import on_branch
from realtime.core.user import User
from realtime.log import pages
from realtime.log.encode import encoded
from realtime.log.journal import Journal
from realtime.protocol import (
    Error,
    Event,
    Regenerate,
    Send,
    Token,
    ToolCall,
    decode_event,
    entry,
    to_json,
    utf16_len,
)
from tests.support.fold import fold
from tests.support.process import ROOT

VECTORS = json.loads((ROOT / "tests/vectors/reducer.json").read_text("utf-8"))
WORDS = ["a ", "word ", "😀", "👩‍👩‍👧 ", "é", "line\n", "x" * 300]


class History:
    """A random history, made by a real session."""

    def __init__(self, seed: int, steps: int) -> None:
        self.random = random.Random(seed)
        numbers = itertools.count(1)
        self.session = Session("s", ids=lambda: f"id{next(numbers)}")
        self.events: list[Event] = []
        self.now = 1000
        self.session.begin("u", self.now)
        for _ in range(steps):
            self.now += self.random.randint(0, 50)
            self._step()
            self.events += self.session.take()

    def _step(self) -> None:
        session, run = self.session, self.session.active
        if run is None:
            if session.start_next("m", self.now):
                return
            last = session.started[-1] if session.started else None
            if last and self.random.random() < 0.2:
                self._branch()
            elif last and last.answer.message_id != session.branches.leaf:
                self._say()
            elif last and last.done and last.done.status in ("interrupted", "incomplete"):
                session.resume(last.run_id, "u", "m", self.now)
            elif self.random.random() < 0.1 and session.end(self.now, self.now):
                assert session.ended
                if self.random.random() < 0.7:
                    session.summarised(session.ended.seq, self.now, text="They spoke.")
            else:
                self._say()
            return
        match self.random.random():
            case dice if dice < 0.6:
                kind = "reasoning" if dice < 0.1 else "text"
                words = "".join(self.random.choices(WORDS, k=self.random.randint(1, 4)))
                offset = run.answer.length[kind]
                token = Token(
                    message_id=run.answer.message_id, offset=offset, delta=words, kind=kind
                )
                assert session.record(run.run_id, [token], self.now)
                assert run.answer.length[kind] == offset + utf16_len(words)
            case dice if dice < 0.8:
                self._call(run.run_id, run.answer.message_id)
            case dice if dice < 0.88:
                if len(session.queue) < 5:
                    self._say()
            case dice if dice < 0.9 and not run.answer.open_calls():
                session.take_in(run.run_id, self.now)
            case dice if dice < 0.92 and session.queue:
                victim, other = self.random.choices(session.queue, k=2)
                if self.random.random() < 0.3:
                    session.move_queued(victim.run_id, other.run_id, self.now)
                elif self.random.random() < 0.3:
                    session.edit_queued(victim.run_id, "or rather?", User("v"), self.now)
                else:
                    session.finish(victim.run_id, "cancelled", "cancelled", self.now)
            case _:
                status, reason = self.random.choice(
                    [
                        ("completed", "stop"),
                        ("cancelled", "cancelled"),
                        ("interrupted", "error"),
                        ("incomplete", "length"),
                        ("failed", "error"),
                    ]
                )
                error = Error("x", "why") if reason == "error" else None
                assert session.finish(run.run_id, status, reason, self.now, error=error)
                assert not session.finish(run.run_id, "completed", "stop", self.now)

    def _say(self) -> None:
        key = f"c{len(self.events)}-{self.now}"
        text = "".join(self.random.choices(WORDS[:-1], k=2)) + "?"
        steer = self.random.choice(["queue", "steer"])
        command = Send(text=text, client_msg_id=key, if_busy=steer)  # type: ignore[arg-type]
        self.session.send(command, "u", "m", self.now)

    def _branch(self) -> None:
        session = self.session
        message_id = self.random.choice([*session.branches.parents])
        asked = {question.message_id for question, _ in session.exchanges()}
        match self.random.choice(["edit", "regenerate", "select"]):
            case "edit" if message_id in asked:
                key = f"e{session.head}"
                better = Send(text="better", client_msg_id=key, replaces=message_id)
                session.send(better, "u", "m", self.now)
            case "regenerate":
                run = self.random.choice([run for run in session.started if run.done])
                session.regenerate(Regenerate(run_id=run.run_id), "u", "m", self.now)
            case _:
                session.select(message_id, self.now)

    def _call(self, run_id: str, message_id: str) -> None:
        run = self.session.runs[run_id]
        calls = [*run.answer.open_calls()]
        call = self.random.choice(calls) if calls and self.random.random() < 0.7 else None
        if call is None:
            call_id, status = f"call{len(self.events)}", "streaming"
        else:
            call_id = call.tool_call_id
            status = {"streaming": "ready", "ready": "running"}.get(call.status, "completed")
        event = ToolCall(tool_call_id=call_id, name="f", status=status, message_id=message_id)
        if status != "streaming":
            event.arguments = {"n": 1}
        self.session.record(run_id, [event], self.now)

    def entries(self) -> list[dict[str, Any]]:
        return [entry(event) for event in self.events]


histories = st.builds(History, st.integers(0, 2**32), st.integers(1, 120))


@given(histories)
def test_the_session_read_back_is_the_session_that_was(history: History) -> None:
    again = Session("s")
    for event in history.events:
        again.apply(decode_event(entry(event)["event"], to_json(event)))
    assert again.row() == history.session.row()
    assert again.context() == history.session.context()
    assert again.head == len(history.events)
    assert [run.run_id for run in again.queue] == [run.run_id for run in history.session.queue]


@given(histories, st.data())
def test_a_replay_from_any_cursor_is_the_live_stream(history: History, data: st.DataObject) -> None:
    live = fold(history.entries())
    cursor = data.draw(st.integers(0, len(history.events)))
    missed = server_fold.merge(history.events[cursor:])
    assert fold(history.entries()[:cursor] + [entry(event) for event in missed]) == live
    # rows that were folded in the store begin before the cursor: the client rule takes them
    stored = server_fold.merge(history.events)
    later = [entry(event) for event in stored if event.seq > cursor]
    assert fold(history.entries()[:cursor] + later) == live


@given(histories, st.integers(300, 5000), st.integers(1, 60))
def test_a_snapshot_and_its_pages_are_the_live_stream(
    history: History, max_bytes: int, limit: int
) -> None:
    found: list[dict[str, Any]] = []
    before: int | None = len(history.events) + 1
    while before:
        folded = server_fold.fold([e for e in history.events if e.seq < before])
        page, following = server_fold.newest(folded, limit=limit, max_bytes=max_bytes)
        assert len(page) <= limit
        assert len(page) == 1 or sum(len(to_json(event)) for event in page) <= max_bytes
        assert following is None or following < before
        found = [entry(event) for event in page] + found
        before = following
    assert fold(found) == fold(history.entries())


@given(histories, st.data(), st.integers(1, 20), st.integers(5, 50))
def test_the_pages_of_a_branch_are_all_of_it_and_each_row_is_read_once_a_page(
    history: History, data: st.DataObject, limit: int, chunk: int
) -> None:
    branches = history.session.branches
    leaf = data.draw(st.sampled_from([None, *branches.parents]))
    shown = on_branch(history.session, branches.end_of(leaf) if leaf else branches.leaf)
    rows = server_fold.merge(history.events)
    reads = 0

    def read(before: int) -> list[Event]:
        nonlocal reads
        reads += 1
        return [row for row in rows if server_fold.first_seq(row) < before][-chunk:]

    found: list[dict[str, Any]] = []
    before: int | None = len(history.events) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "CHUNK", chunk)
        while before:
            reads = 0
            page, before, _ = pages.made(pages.page(before, limit, shown), read)
            assert reads <= len(rows) / chunk + 2
            assert len(page) <= limit
            found = [entry(event) for event in page] + found
    assert fold(found) == fold(entry(event) for event in filter(shown, history.events))


@given(histories, st.data())
def test_the_journal_folds_without_a_change_of_state(
    tmp_path_factory: pytest.TempPathFactory, history: History, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    kept = Journal(str(folder / "j.db"))
    try:
        head = Head(history.session.row(), history.session.unfinished, None)
        kept.write([encoded(head.row.session_id, 1, history.events)], [head])
        for run in history.session.runs.values():
            if run.done and data.draw(st.booleans()):
                kept.events.fold_from("s", run.first_seq)
        found = kept.session("s")
        assert found
        assert fold(entry(event) for event in found[1]) == fold(history.entries())
        cursor = data.draw(st.integers(0, len(history.events)))
        later = [entry(event) for event in kept.events.after("s", cursor)]
        assert fold(history.entries()[:cursor] + later) == fold(history.entries())
    finally:
        kept.close()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_shared_vectors(vector: dict[str, Any]) -> None:
    """The tests' own fold, and the server's session, reach the state of each vector."""
    assert fold(vector["events"]) == vector["state"]["runs"]
    session = Session("s")
    for event in vector["events"]:
        payload = {key: value for key, value in event.items() if key != "event"}
        session.apply(decode_event(event["event"], json.dumps(payload)))
    assert states(session) == begun(vector)


def begun(vector: dict[str, Any]) -> list[dict[str, Any]]:
    """What a session knows of the vector's runs; it keeps no order of runs that never began."""
    ids = {e["run_id"] for e in vector["events"] if e["event"] == "run" and e["status"] != "queued"}
    keys = ("run_id", "user_text", "text", "tool_calls", "status")
    return [
        {key: run[key] for key in keys} for run in vector["state"]["runs"] if run["run_id"] in ids
    ]


def states(session: Session) -> list[dict[str, Any]]:
    newest = {run.answer.message_id: run for run in session.started}
    exchanges = [(said.text, newest[answer.message_id]) for said, answer in session.exchanges()]
    return [
        {
            "user_text": text,
            "run_id": run.run_id,
            "text": run.answer.text(),
            "tool_calls": [
                {"tool_call_id": call.tool_call_id, "status": call.status}
                for call in run.answer.calls.values()
            ],
            "status": run.done.status if run.done else run.status,
        }
        for text, run in exchanges
    ]

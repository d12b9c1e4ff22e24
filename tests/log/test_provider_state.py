"""What a model's provider wants back lasts as long as its event, and nobody else gets it."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from realtime.cli import admin
from realtime.core.provider_state import (
    MAX_PROVIDER_STATE,
    keep_provider_state,
    provider_state,
)
from realtime.core.rows import Head, Refused
from realtime.core.session import Session
from realtime.log.encode import encoded, event_values
from realtime.log.journal import Journal
from realtime.log.journal.database import Database
from realtime.log.journal.keeper import JournalKeeper
from realtime.log.journal.migrations import MIGRATIONS
from realtime.log.log import Log
from realtime.models import Finished, ToolCallReady
from realtime.protocol import (
    Done,
    Event,
    Send,
    Token,
    ToolCall,
)
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.oracle import rows
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve
from tests.support.states import MARK, expected, fill, filling, states
from tests.support.world import world

Devices = Callable[..., Device]

VERSION_BEFORE = 6
"""Of the journal: the last one without provider state."""


def spoken(session_id: str = "s") -> tuple[Head, list[Event]]:
    """A session in which a tool was called."""
    session = Session(session_id)
    session.begin("u", 1)
    _, run = session.send(Send(text="Is it?", client_msg_id="1"), "u", "m", 2)
    for status in ("ready", "running", "completed"):
        session.record(run.run_id, [ToolCall(tool_call_id="c", name="look", status=status)], 3)
    for offset in range(5):
        token = Token(message_id=run.answer.message_id, offset=offset, delta="a", kind="text")
        session.record(run.run_id, [token], 4)
    session.finish(run.run_id, "completed", "stop", 5)
    events = session.take()
    fill(events)
    return Head(session.row(), session.unfinished, None), events


def write(journal: Journal, head: Head, events: list[Event]) -> None:
    journal.write([encoded(head.row.session_id, head.row.epoch, events)], [head])


def read(journal: Journal, session_id: str = "s") -> list[Event]:
    found = journal.session(session_id)
    assert found
    return found[1]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(str(tmp_path / "log.db"))
    yield opened
    opened.close()


# ---------------------------------------------------------------------- the journal


def test_it_comes_back_with_its_event_before_and_after_the_run_is_folded(journal: Journal) -> None:
    head, events = spoken()
    write(journal, head, events)
    assert len(expected(events)) == 5
    assert states(read(journal)) == expected(events)
    journal.events.fold_from("s", 1)
    assert len(read(journal)) == len(events) - 4, "five tokens are one"
    assert states(read(journal)) == expected(events)


def test_what_is_read_for_devices_is_without_it(journal: Journal) -> None:
    write(journal, *spoken())
    assert states(journal.events.after("s", 0)) == {}
    assert states(journal.events.before("s", 99, 99)) == {}
    for row in journal.events.rows("s"):
        assert MARK not in row.content + row.payload.decode()


async def test_an_export_is_without_it(journal: Journal) -> None:
    write(journal, *spoken())
    row, events = await admin.found([JournalKeeper(journal)], "s")
    assert MARK not in admin.as_json(row, events) + admin.as_markdown(row, events)


@pytest.mark.parametrize("over", [0, 1])
def test_one_that_is_too_long_is_dropped_and_its_event_is_not(
    journal: Journal, over: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    state = b'"%b"' % (b"x" * (MAX_PROVIDER_STATE - 2 + over))
    head, events = spoken()
    long = Done(**{name: getattr(events[-1], name) for name in events[-1].__struct_fields__})
    keep_provider_state(long, state)
    write(journal, head, [*events[:-1], long])
    assert read(journal) == events
    assert provider_state(read(journal)[-1]) == (None if over else state)
    assert (f"{len(state)} bytes" in caplog.text) is bool(over)
    assert "xxx" not in caplog.text


def test_it_goes_with_the_session(journal: Journal) -> None:
    for session_id in ("deleted", "lost", "stays"):
        write(journal, *spoken(session_id))
    journal.delete(["deleted"])
    journal.void("lost")
    while journal.tidy():
        pass
    with closing(sqlite3.connect(journal.path)) as database:
        kept = [line for line in database.iterdump() if MARK.encode().hex().upper() in line.upper()]
        sessions = database.execute(
            "SELECT session_id FROM events WHERE provider_state IS NOT NULL"
        ).fetchall()
    assert len(kept) == 5
    assert sessions == 5 * [("stays",)]
    assert journal.quarantine.count() > 0, "what was not shipped of the lost one can be read"


def test_a_row_that_is_sent_again_takes_it_along(journal: Journal) -> None:
    head, events = spoken()
    write(journal, head, events)
    batch = journal.shipping.unshipped(100)
    assert {r.seq: r.provider_state for r in batch.events if r.provider_state} == expected(events)
    journal.shipping.shipped(batch)
    journal.quarantine.add([Refused("s", 1, events[-1].seq, "23514", "not taken")])
    (kept,) = journal.quarantine.rows()
    journal.quarantine.resend(kept.id)
    (row,) = journal.shipping.unshipped(100).events
    assert row.provider_state == provider_state(events[-1])


def test_a_session_of_another_server_is_adopted_with_it(journal: Journal, tmp_path: Path) -> None:
    head, events = spoken()
    write(journal, head, events)
    with closing(Journal(str(tmp_path / "other.db"))) as other:
        other.adopt(head, journal.events.rows("s"))
        assert states(read(other)) == expected(events)


def test_a_journal_of_the_version_before_is_upgraded_in_place(tmp_path: Path) -> None:
    path = str(tmp_path / "old.db")
    Database(path, MIGRATIONS[:VERSION_BEFORE]).close()
    _, events = spoken("old")
    part = encoded("old", 1, events)
    old_rows = [
        event_values(event, 1, payload)[:9]
        for event, payload in zip(part.events, part.payloads, strict=True)
    ]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "INSERT INTO sessions (session_id, user_id, epoch, start_time, summary_status, "
            "unfinished) VALUES ('old', 'u', 1, 1, 'none', 0)"
        )
        database.executemany(
            "INSERT INTO events (session_id, epoch, seq, first_seq, run_id, event_type, content, "
            "payload, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            old_rows,
        )
    head, filled = spoken("new")
    for turn in range(2):
        with closing(Journal(path)) as journal:
            assert read(journal, "old") == events
            assert states(read(journal, "old")) == {}
            if turn == 0:
                write(journal, head, filled)
            assert states(read(journal, "new")) == expected(filled)


# ------------------------------------------------------------------ the whole server


async def test_no_frame_page_or_answer_holds_it_and_a_restarted_server_has_it(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Log, "append", filling())
    asks = [[ToolCallReady("k", "no_such_tool", "{}"), Finished("tool_calls")]]
    running = await serve(ScriptedModel(asks, says("Well ", "then.")), grace_seconds=60)
    first = device(running.url)
    await first.connect()
    session_id = first.session["session_id"]
    run_id = (await first.send("Is it?"))["run_id"]
    await first.done(run_id)
    told: list[Any] = [first.record]

    for _ in range(2):
        known = first.place
        fresh, behind = device(running.url, **known), device(running.url, **known)
        assert (await fresh.connect())["mode"] == "snapshot"
        behind.auth |= {"epoch": 1, "after_seq": 0}
        assert (await behind.connect())["mode"] == "replay"
        assert behind.events("tool_call")
        told += [fresh.record, behind.record]
        told += [await fresh.call("history", {"limit": 200})]
        told += [await fresh.call("join", {"session_id": session_id})]
        for path in ("sessions", f"sessions/{session_id}"):
            answer = await fetch(f"{running.url}/api/{path}", first.auth["token"])
            assert answer.status == 200
            told.append(answer.text)

        async with running.server.hub.hold(session_id) as actor:
            assert actor
            done = actor.session.runs[run_id].done
        assert done
        assert provider_state(done) == expected([done])[done.seq]
        await running.stop()
        running = await serve(ScriptedModel(says("Again.")), grace_seconds=60)
    assert run_id in json.dumps(told)
    assert MARK not in json.dumps(told)


async def test_it_outlives_kill_9_and_stands_in_no_log(tmp_path: Path) -> None:
    environ = {"TOOLS": "tests.support.stateful", "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json"}
    async with world(tmp_path, **environ) as scene:
        one = await scene.device("raw")
        await one.done((await one.send('tool look {"place": "home"} tokens 20 rate 0'))["run_id"])
        ack = await one.send("tokens 400 rate 500 gate more at 200")
        await one.until(lambda: one.events("token", run_id=ack["run_id"]) or None)
        said = scene.process.output
        await scene.restart()
        await one.done(ack["run_id"])
        await one.done((await one.send("tokens 20 rate 0 again"))["run_id"])
        other = await scene.device("stock", of=one)
        (await scene.verdict()).hold()
        with closing(Journal(str(scene.path), owner=False)) as journal:
            events = read(journal, one.auth["session_id"])
        wanted = expected(events)
        assert states(events) == wanted
        assert [type(event) for event in events if event.seq in wanted].count(Done) == 3
        assert len(wanted) > 5
        assert rows(scene.path, "SELECT count(*) FROM events WHERE provider_state NOT NULL") == [
            (len(wanted),)
        ]
        for device in (one, other):
            assert MARK not in json.dumps([device.seen, device.pages])
        assert MARK not in said + scene.process.output

"""Folding loses nothing; the journal gives back what was committed; pages are bounded."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.fold import first_seq, fold, merge
from realtime.core.rows import Head, SessionRow, StorageError
from realtime.core.session import Session
from realtime.live.tail import TAIL_EVENTS, Tail
from realtime.log.journal import Journal
from realtime.log.journal.keeper import JournalKeeper
from realtime.log.log import Log
from realtime.log.pace import Pace
from realtime.protocol import (
    MAX_EVENT_BYTES,
    MAX_PAGE_BYTES,
    Event,
    Send,
    Token,
    ToolCall,
    UserMessage,
    to_json,
)
from tests.support.listening import Heard


def history(seed: int, runs: int = 4) -> list[Event]:
    """A random session's events, made by the core itself."""
    dice = random.Random(seed)
    session = Session(f"s-{seed}", ids=lambda: f"{dice.getrandbits(64):x}")
    session.begin("u", 1)
    now = 1
    for number in range(runs):
        command = Send(text=f"question {number}", client_msg_id=str(number))
        _, run = session.send(command, "u", "m", now)
        for _ in range(dice.randrange(12)):
            now += 1
            answer, kind = run.answer, dice.choice(["text", "text", "reasoning"])
            if dice.random() < 0.7:
                delta = dice.choice(["word ", "\U0001f600", "é", "\n\n"]) * dice.randrange(1, 4)
                token = Token(
                    message_id=answer.message_id,
                    offset=answer.length[kind],
                    delta=delta,
                    kind=kind,
                )
                session.record(run.run_id, [token], now)
            else:
                states = ["streaming", "ready", "running", "completed"]
                calls = [
                    f"{run.run_id}-{dice.getrandbits(32):x}" for _ in range(dice.randrange(1, 3))
                ]
                for state in states[: dice.randrange(1, 5)]:
                    for call in calls:
                        event = ToolCall(tool_call_id=call, name="t", status=state, arguments={})
                        session.record(run.run_id, [event], now)
        if dice.random() < 0.8:
            session.finish(run.run_id, dice.choice(["completed", "interrupted"]), "stop", now)
            session.start_next("m", now)
    if dice.random() < 0.5 and not session.unfinished:
        session.end(now, now)
    return session.take()


def state(events: Sequence[Event]) -> object:
    """What a reader ends with."""
    session = Session("s")
    for event in events:
        session.apply(event)
    return (
        session.context(),
        [
            (r.run_id, r.status, r.done and r.done.status, r.answer.text(), dict(r.answer.length))
            for r in session.runs.values()
        ],
        [[(c.tool_call_id, c.status) for c in r.answer.calls.values()] for r in session.started],
        session.row(),
    )


@given(st.integers(0, 2**32))
def test_merged_and_folded_events_lead_to_the_same_state(seed: int) -> None:
    events = history(seed)
    assert state(merge(events)) == state(events)
    assert merge(merge(events)) == merge(events)
    assert fold(fold(events)) == fold(events)
    folded = fold(events)
    assert sum(isinstance(event, ToolCall) for event in folded) == len(
        {event.tool_call_id for event in events if isinstance(event, ToolCall)}
    )
    cut = seed % (len(events) + 1)
    assert fold([*fold(events[:cut]), *events[cut:]]) == folded


@given(st.integers(0, 2**32))
def test_a_merged_log_has_no_hole_for_any_cursor(seed: int) -> None:
    events = history(seed)
    merged = merge(events)
    for cursor in range(events[-1].seq + 1):
        last = cursor
        for event in merged:
            if event.seq > last:
                assert first_seq(event) <= last + 1
                last = event.seq
        assert last == events[-1].seq


@given(st.integers(0, 2**32))
def test_overlapping_tokens_are_joined_without_doubling_text(seed: int) -> None:
    events = history(seed)
    whole = merge(events)
    for cut in range(1, len(events)):
        behind = [event for event in whole if event.seq > events[cut - 1].seq]
        joined = merge([*merge(events[:cut]), *behind])
        assert joined == whole


class Opened:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(str(path))
        self.keeper = JournalKeeper(self.journal)
        self.log = Log(self.keeper)
        self.heard = Heard()
        self.log.start(self.heard)

    def append(self, events: list[Event], unfinished: bool = False) -> asyncio.Future[None]:
        row = SessionRow(session_id=events[0].session_id, user_id="u", start_time=1)
        head = Head(row, unfinished, None)
        return self.log.append(row.session_id, row.epoch, events, head=head)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    one = Opened(tmp_path / "log.db")
    yield one
    await one.log.close()


async def test_nothing_is_published_before_its_commit(opened: Opened) -> None:
    events = history(1)
    ticket = opened.append(events[:5])
    assert opened.heard.events == []
    await ticket
    assert opened.heard.events == events[:5]
    assert opened.journal.events.after(events[0].session_id, 0) == events[:5]


async def test_appends_of_all_sessions_share_a_commit_and_keep_their_order(opened: Opened) -> None:
    events = history(2, runs=20)
    await asyncio.gather(*(opened.append([event]) for event in events))
    assert opened.log.count.flushes == 1
    assert [event.seq for event in opened.heard.events] == list(range(1, len(events) + 1))


async def test_a_finished_run_becomes_few_rows_and_reads_the_same(opened: Opened) -> None:
    events = history(3, runs=6)
    session_id = events[0].session_id
    await opened.append(events)
    for event in events:
        if isinstance(event, UserMessage):
            opened.journal.events.fold_from(session_id, 1)
    rows = opened.journal.events.after(session_id, 0)
    assert len(rows) < len(events)
    assert state(rows) == state(events)
    for after in range(0, events[-1].seq, 3):
        page = await opened.keeper.replay(session_id, after)
        assert first_seq(page[0]) <= after + 1
        assert page[-1].seq == events[-1].seq


async def test_pages_are_bounded_and_lead_to_the_beginning(opened: Opened) -> None:
    session = Session("big")
    session.begin("u", 1)
    for number in range(6):
        _, run = session.send(Send(text="q", client_msg_id=str(number)), "u", "m", 1)
        for _ in range(20):
            offset = run.answer.length["text"]
            token = Token(message_id="m", offset=offset, delta="\x01" * 10_000, kind="text")
            session.record(run.run_id, [token], 1)
        session.finish(run.run_id, "completed", "stop", 1)
    events = session.take()
    await opened.append(events)
    before, seen = None, []
    while True:
        page, next_before, _ = await opened.keeper.page("big", before or 2**60, 200)
        assert len(to_json(page)) <= MAX_PAGE_BYTES
        assert all(len(to_json(event)) <= MAX_EVENT_BYTES for event in page)
        seen = page + seen
        if next_before is None:
            break
        assert before is None or next_before < before
        before = next_before
    assert state(seen) == state(events)
    after, pages = 0, 0
    while after < events[-1].seq:
        page = await opened.keeper.replay("big", after)
        assert len(to_json(page)) <= MAX_PAGE_BYTES
        assert first_seq(page[0]) == after + 1
        after, pages = page[-1].seq, pages + 1
    assert pages > 5


async def test_a_commit_that_fails_publishes_nothing_and_the_next_one_works(
    opened: Opened,
) -> None:
    events = history(4)
    await opened.append(events[:3])
    doubled = opened.append(events[1:4])
    with pytest.raises(StorageError):
        await doubled
    assert opened.heard.events == events[:3]
    assert opened.heard.lost == [{events[0].session_id}]
    assert opened.log.broken
    with pytest.raises(StorageError):
        await opened.append(events[3:])
    await asyncio.wait_for(opened.heard.is_repaired.wait(), 10)
    await opened.append(events[3:])
    assert opened.heard.events == events


async def test_what_gathers_behind_a_failed_commit_fails_with_it(opened: Opened) -> None:
    events = history(8)
    await opened.append(events[:2])
    broken = opened.append(events[1:3])
    while opened.log.pending:
        await asyncio.sleep(0)  # until the commit is under way
    behind = opened.append(events[3:4])
    for ticket in (broken, behind):
        with pytest.raises(StorageError):
            await ticket
    await asyncio.wait_for(opened.heard.is_repaired.wait(), 10)
    assert [event.seq for event in opened.journal.events.after(events[0].session_id, 0)] == [1, 2]


async def test_an_event_that_cannot_be_written_fails_its_session_alone(opened: Opened) -> None:
    events = history(9)
    good = opened.append(events[:1])
    bad = UserMessage(
        session_id="bad", seq=1, ts=1, message_id="m", client_msg_id="\ud800", text="", user_id="u"
    )
    with pytest.raises(StorageError):
        await opened.append([bad])
    await good
    assert opened.heard.lost == [{"bad"}]
    assert not opened.log.broken


async def test_history_reaches_back_over_a_row_that_was_folded_meanwhile(
    opened: Opened,
) -> None:
    tokens: list[Event] = [
        Token(
            session_id="s", seq=n, ts=1, run_id="r", message_id="m",
            offset=(n - 1) * 1000, delta=f"{n:04}" * 250, kind="text",
        )
        for n in range(1, 301)
    ]  # fmt: skip
    await opened.append(tokens)
    page, before, _ = await opened.keeper.page("s", 2**60, 200)
    assert before
    opened.journal.events.fold_from("s", 1)
    text = bytearray(300_000)
    while True:
        for event in page:
            assert isinstance(event, Token)
            text[event.offset : event.offset + len(event.delta)] = event.delta.encode()
        if before is None:
            break
        page, before, _ = await opened.keeper.page("s", before, 200)
    assert text.decode() == "".join(f"{n:04}" * 250 for n in range(1, 301))


async def test_a_snapshot_has_no_hole_however_much_is_committed_meanwhile(
    opened: Opened,
) -> None:
    session = Session("s")
    session.begin("u", 1)
    _, run = session.send(Send(text="q", client_msg_id="1"), "u", "m", 1)
    tail = Tail(opened.log, "s", 0)
    opened.heard.on_events = tail.extend
    await opened.append(session.take())
    release = threading.Event()
    before = opened.journal.events.before

    def late(session_id: str, seq: int, limit: int) -> list[Event]:
        release.wait()
        return before(session_id, seq, limit)

    opened.journal.events.before = late  # type: ignore[method-assign]
    snapshot = asyncio.create_task(tail.snapshot())
    for _ in range(3 * TAIL_EVENTS):
        offset = run.answer.length["text"]
        token = Token(message_id="m", offset=offset, delta="word ", kind="text")
        session.record(run.run_id, [token], 1)
    await opened.append(session.take())
    release.set()
    page = await snapshot
    assert page.seq == tail.committed == session.head
    last = 0
    for event in page.events:
        assert first_seq(event) == last + 1
        last = event.seq


async def test_what_a_reader_missed_lately_comes_from_memory(opened: Opened) -> None:
    session = Session("s")
    session.begin("u", 1)
    _, run = session.send(Send(text="q", client_msg_id="1"), "u", "m", 1)
    tail = Tail(opened.log, "s", 0)
    opened.heard.on_events = tail.extend
    events: list[Event] = []
    opened.append(session.take())
    for number in range(1000):
        offset = run.answer.length["text"]
        token = Token(message_id="m", offset=offset, delta=f"{number} 😀 ", kind="text")
        session.record(run.run_id, [token], 1)
        events += (new := session.take())
        opened.append(new)
    await opened.log.settled()
    opened.journal.events.after = None  # type: ignore[assignment, method-assign]  # fails if it is read
    whole = merge(events)
    for after in range(3, session.head, 7):
        page = await tail.missed(after)
        assert first_seq(page.events[0]) <= after + 1
        assert page.seq == session.head
        assert merge([*events[: after - 3], *page.events]) == whole


async def test_close_commits_what_is_pending(tmp_path: Path) -> None:
    one = Opened(tmp_path / "log.db")
    events = history(5)
    one.append(events)
    await one.log.close()
    with sqlite3.connect(tmp_path / "log.db") as database:
        (count,) = database.execute("SELECT count(*) FROM events").fetchone()
    database.close()
    assert count == len(events)


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    Journal(str(tmp_path / "new.db")).close()
    with sqlite3.connect(tmp_path / "new.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StorageError, match="newer version"):
        Journal(str(tmp_path / "new.db"))


async def test_the_shipper_reads_each_row_once_and_the_folded_one_instead(opened: Opened) -> None:
    events = history(6)
    await opened.append(events)
    batch = await opened.keeper.unshipped(7)
    assert [row.seq for row in batch.events] == list(range(1, 8))
    assert [head.row.session_id for head in batch.sessions] == [events[0].session_id]
    await opened.keeper.shipped(batch)
    again = await opened.keeper.unshipped(10_000)
    assert [row.seq for row in again.events] == list(range(8, len(events) + 1))
    await opened.keeper.shipped(again)
    assert not await opened.keeper.unshipped(10)


def rest_of(rate: int, work_s: float) -> float:
    """The rest that a steady stream of so many events a second settles at."""
    pace, now, rest = Pace(), 100.0, 0.0
    for _ in range(1000):
        interval = max(rest + work_s, 1 / rate)
        now += interval
        pace.woke = now - work_s
        rest = pace.rest(now, max(1, round(rate * interval)))
    return rest


def test_the_rest_grows_with_the_rate_and_shrinks_with_the_work() -> None:
    assert rest_of(100, 0.0005) == 0
    assert rest_of(3_000, 0.003) == pytest.approx(0.012, abs=0.001)
    assert rest_of(30_000, 0.001) == pytest.approx(0.032)
    assert rest_of(30_000, 0.020) == pytest.approx(0.013)
    assert rest_of(30_000, 0.040) == 0

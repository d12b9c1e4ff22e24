"""Tokens wait in rows of their own; whatever happens meanwhile, none is lost, doubled or moved."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.core.fold import fold
from realtime.core.rows import Head, StorageError
from realtime.core.session import Session
from realtime.log.encode import encoded
from realtime.log.journal import Journal
from realtime.log.journal.keeper import JournalKeeper
from realtime.log.log import Log
from realtime.protocol import Event, Send, Token, Usage
from tests.support.listening import Heard


class Chat:
    """A session whose events go to a journal by hand."""

    def __init__(self, name: str) -> None:
        self.session = Session(name)
        self.session.begin("u", 1)
        self.events: list[Event] = []  # that were committed

    @property
    def head(self) -> Head:
        return Head(self.session.row(), self.session.unfinished, None)

    def ask(self) -> list[Event]:
        text = f"question {self.session.head}"
        self.session.send(Send(text=text, client_msg_id=text), "u", "m", 2)
        return self.session.take()

    def say(self, *texts: str) -> list[Event]:
        run = self.session.active
        assert run
        for text in texts:
            answer, offset = run.answer.message_id, run.answer.length["text"]
            token = Token(message_id=answer, offset=offset, delta=text, kind="text")
            self.session.record(run.run_id, [token], 3)
        return self.session.take()

    def finish(self) -> list[Event]:
        run = self.session.active
        assert run
        self.session.finish(run.run_id, "completed", "stop", 4, usage=Usage(1, 1))
        return self.session.take()

    def write(self, journal: Journal, events: list[Event]) -> None:
        part = encoded(self.session.session_id, 1, events)
        assert not journal.write([part], [] if part.only_tokens else [self.head])
        self.events += events


def stored(path: str) -> tuple[list[tuple[str, int, int]], int]:
    """(session, first seq, seq) of the rows by id, and how many rows are loose."""
    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT session_id, first_seq, seq FROM events ORDER BY id").fetchall()
        return rows, file.execute("SELECT count(*) FROM loose").fetchone()[0]


def crash(journal: Journal) -> Journal:
    """As if the process had been killed: what is in memory is gone, what is on disk is not."""
    copy = f"{journal.path}.after"
    for suffix in ("", "-wal"):
        shutil.copyfile(journal.path + suffix, copy + suffix)
    journal.close()
    return Journal(copy)


def test_a_flush_of_tokens_is_one_row_until_they_are_filed(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    chats = [Chat(name) for name in "abc"]
    for chat in chats:
        chat.write(journal, chat.ask())
    before = len(stored(journal.path)[0])
    for number in range(5):
        parts = [encoded(c.session.session_id, 1, c.say(f"{number} ")) for c in chats]
        journal.write(parts, [])
    rows, loose = stored(journal.path)
    assert (len(rows), loose) == (before, 5)
    journal.file()
    rows, loose = stored(journal.path)
    assert (len(rows), loose) == (before + 3, 0)
    assert all(last - first == 4 for _, first, last in rows[before:])
    journal.close()


def begun(journal: Journal, *texts: str) -> tuple[Chat, Chat]:
    """Two chats whose answers are under way, these tokens of each loose."""
    one, other = Chat("one"), Chat("other")
    for chat in (one, other):
        chat.write(journal, chat.ask())
        chat.write(journal, chat.say(*texts))
    return one, other


def test_who_is_loose_longest_is_filed_first(tmp_path: Path) -> None:
    """The others keep their rows, and lose nothing when the process dies then."""
    journal = Journal(str(tmp_path / "j.db"))
    chats = [Chat(name) for name in "abc"]
    for chat in chats:
        chat.write(journal, chat.ask())
    for chat in (*chats, *chats):
        chat.write(journal, chat.say("x"))
    journal.file(2)
    rows, loose = stored(journal.path)
    assert [name for name, first, last in rows if last > first] == ["a", "b"]
    assert loose == 4  # from the first of c's on
    chats[0].write(journal, chats[0].say("y"))
    journal.file(1)
    assert stored(journal.path)[1] == 1
    journal = crash(journal)
    for chat in chats:
        found = journal.session(chat.session.session_id)
        assert found
        assert fold(found[1]) == fold(chat.events)
    journal.close()


def test_what_follows_is_stored_behind_the_tokens(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    one, other = begun(journal, "a", "b")
    for chat in (one, other):
        chat.write(journal, chat.say("c"))
    one.write(journal, [*one.say("d"), *one.finish()])
    rows, _ = stored(journal.path)
    assert [row[1:] for row in rows if row[0] == "one"][-3:] == [(4, 6), (7, 7), (8, 8)]
    assert [row[1:] for row in rows if row[0] == "other"][-1] == (3, 3)  # still loose
    journal.close()


def test_a_crash_loses_and_doubles_nothing(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    one, other = begun(journal, "a", "b")
    one.write(journal, one.finish())  # its tokens are rows now, and in `loose` as well
    journal = crash(journal)
    assert stored(journal.path)[1] == 0
    for chat in (one, other):
        found = journal.session(chat.session.session_id)
        assert found
        assert fold(found[1]) == fold(chat.events)
    journal.close()


def test_tokens_of_a_deleted_session_do_not_come_back(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    _, other = begun(journal, "a")
    journal.delete(["one"])
    journal.void("other")
    assert stored(journal.path) == ([], 0)
    assert [row.session_id for row in journal.quarantine.rows()] == ["other"] * len(other.events)

    other_process = Journal(journal.path, owner=False)
    third = Chat("third")
    third.write(journal, third.ask())
    third.write(journal, third.say("a"))
    other_process.delete(["third"])
    other_process.close()
    journal = crash(journal)
    assert stored(journal.path) == ([], 0)
    journal.close()


def test_a_commit_that_fails_leaves_what_was_loose_before(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    one = Chat("one")
    one.write(journal, one.ask())
    one.write(journal, one.say("a"))
    with sqlite3.connect(journal.path) as file:
        file.execute(
            "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT raise(ABORT, 'no'); END"
        )
        file.execute(
            "CREATE TRIGGER too BEFORE INSERT ON loose BEGIN SELECT raise(ABORT, 'no'); END"
        )
    lost = one.say("b")
    for parts, heads in (
        ([encoded("one", 1, lost)], []),
        ([encoded("one", 1, one.finish())], [one.head]),
    ):
        with pytest.raises(StorageError):
            journal.write(parts, heads)
    with pytest.raises(StorageError):
        journal.file()
    assert journal.loose.events("one") == one.events[-1:]
    with sqlite3.connect(journal.path) as file:
        file.executescript("DROP TRIGGER full; DROP TRIGGER too")
    journal.file()
    found = journal.session("one")
    assert found
    assert found[1] == one.events
    journal.close()


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_any_mixture_of_writes_folds_and_crashes(seed: int) -> None:
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(os.path.join(folder, "j.db"))
        chats = [Chat(f"s{number}") for number in range(3)]
        for _ in range(dice.randrange(5, 40)):
            chat = dice.choice(chats)
            run = chat.session.active
            what = dice.random()
            if what < 0.1:
                journal.file(dice.choice([None, 1, 2]))
            elif what < 0.2:
                journal = crash(journal)
            elif run is None:
                chat.write(journal, chat.ask())
            elif what < 0.3:
                chat.write(journal, chat.finish())
                if dice.random() < 0.7:
                    journal.events.fold_from(chat.session.session_id, run.first_seq)
            else:
                chat.write(journal, chat.say(*("x" * dice.randrange(1, 4))))
        journal.file()
        for chat in chats:
            session_id = chat.session.session_id
            if not chat.events:
                continue
            found = journal.session(session_id)
            assert found
            assert fold(found[1]) == fold(chat.events)
            spans = [row[1:] for row in stored(journal.path)[0] if row[0] == session_id]
            assert sorted(spans) == [
                (first, last)
                for (_, before), (first, last) in zip(
                    [(0, 0), *sorted(spans)], sorted(spans), strict=False
                )
                if first == before + 1
            ]
        journal.close()


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    log = Log(JournalKeeper(Journal(str(tmp_path / "j.db"))))
    log.start(Heard())
    yield log
    await log.close()


async def test_readers_see_tokens_at_once(log: Log) -> None:
    chat = Chat("s")
    events = chat.ask()
    await log.append("s", 1, events, head=chat.head)
    for number in range(3):
        tokens = chat.say(f"{number} ")
        events += tokens
        await log.append("s", 1, tokens)
        assert fold(await log.keeper.replay("s", 0)) == fold(events)
    tokens = chat.say("more")
    await log.append("s", 1, tokens)
    page, _, _ = await log.keeper.page("s", 2**62)
    assert page == fold([*events, *tokens])
    tokens = [*tokens, *chat.say("still more")]
    await log.append("s", 1, tokens[1:])
    found = await log.keeper.session("s")
    assert found
    assert fold(found[1]) == fold([*events, *tokens])


async def test_tokens_are_filed_soon_and_that_is_told(log: Log) -> None:
    chat = Chat("s")
    await log.append("s", 1, chat.ask(), head=chat.head)
    news = log.keeper.news
    news.clear()
    await log.append("s", 1, chat.say("a"))
    assert (news.is_set(), (await log.keeper.unshipped(10)).complete) == (False, True)
    while not news.is_set():
        await log.settled()
    assert not log.keeper.journal.loose
    assert [row.event_type for row in (await log.keeper.unshipped(10)).events][-1] == "token"


@pytest.mark.parametrize("streaming", [True, False])
async def test_nothing_of_a_deleted_session_stays_loose(log: Log, streaming: bool) -> None:
    chat, other = Chat("s"), Chat("other")
    for one in (chat, other):
        await log.append(one.session.session_id, 1, one.ask(), head=one.head)
    tokens = {one: one.say("secret") for one in (chat, other)}
    await asyncio.gather(
        *(log.append(one.session.session_id, 1, events) for one, events in tokens.items())
    )
    if not streaming:  # its tokens are in rows already
        await log.append("s", 1, chat.finish(), head=chat.head)
    await log.keeper.delete(["s"])
    assert {row[0] for row in stored(log.keeper.journal.path)[0]} == {"other"}
    assert stored(log.keeper.journal.path)[1] == 0
    assert fold(await log.keeper.replay("other", 0))[-1] == tokens[other][-1]


async def test_many_are_filed_a_few_at_a_time(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.log.journal.upkeep.FILED_AT_ONCE", 2)
    chats = [Chat(f"s{number}") for number in range(5)]
    for chat in chats:
        await log.append(chat.session.session_id, 1, chat.ask(), head=chat.head)
    for chat in chats:
        await log.append(chat.session.session_id, 1, chat.say("a"))
    left = [5]
    while left[-1]:
        await log.settled()
        if len(log.keeper.journal.loose) != left[-1]:
            left.append(len(log.keeper.journal.loose))
    assert left == [5, 3, 1, 0]


async def test_after_a_question_the_loop_does_not_rest(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.log.pace.Pace.rest", lambda self, now, events: 0.001)
    chat = Chat("s")
    for brisk_s, rests in ((60, False), (0, True)):
        monkeypatch.setattr("realtime.log.log.BRISK_S", brisk_s)
        await log.append("s", 1, chat.ask(), head=chat.head)
        await log.append("s", 1, chat.say("a"))
        await log.append("s", 1, chat.finish(), head=chat.head)
        assert (log.count.rest_s > 0) is rests


async def test_closing_files_what_is_loose(tmp_path: Path) -> None:
    log = Log(JournalKeeper(Journal(str(tmp_path / "j.db"))))
    log.start(Heard())
    chat = Chat("s")
    await log.append("s", 1, chat.ask(), head=chat.head)
    await log.append("s", 1, chat.say("a"))
    await log.close()
    rows, loose = stored(log.keeper.journal.path)
    assert (rows[-1][2], loose) == (chat.session.head, 0)

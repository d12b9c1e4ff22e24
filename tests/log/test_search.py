"""The search knows the words that stand in the rows, and nothing else: never those of a session
that was deleted."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.core.rows import Listing
from realtime.core.session import Session
from realtime.core.user import User
from realtime.log.encode import encoded
from realtime.log.journal import Journal, search
from realtime.log.journal.migrations import MIGRATIONS
from realtime.log.journal.search import NOBODY, rebuild
from realtime.log.words import OWNER, of_owner, words
from realtime.protocol import Done, Queue, Send, SessionUpdated, Usage, UserMessage
from realtime.protocol.commands import QueueEdit
from tests.log.test_once import finish, write
from tests.support.talk import asked, ended_runs, head_of, say, talk


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(str(tmp_path / "j.db"))) as opened:
        yield opened


def found(journal: Journal, wanted: str, user: str = "owner") -> set[str]:
    while journal.index():
        pass
    asked = Listing(user_id=user, limit=50, wanted=wanted)
    return {row.session_id for row in journal.search.find(asked)}


def vocabulary(path: str) -> set[str]:
    """Every word that the index has."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO said_fts (said_fts) VALUES ('integrity-check')")
        database.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, said_fts, row)")
        return {term for (term,) in database.execute("SELECT term FROM temp.terms")} - {OWNER}


def documents(path: str) -> set[int]:
    """Every document that the index has a word of, but for nobody's."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE VIRTUAL TABLE temp.uses USING fts5vocab(main, said_fts, instance)")
        return {doc for (doc,) in database.execute("SELECT DISTINCT doc FROM temp.uses")} - {NOBODY}


def said(session: Session, text: str, answer: str = "yes") -> None:
    run = asked(session, text)
    say(session, answer, 3)
    session.finish(run.run_id, "completed", "stop", 4, usage=Usage(1, 1))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_it_has_the_words_of_the_rows_and_of_nothing_that_is_gone(seed: int) -> None:
    dice = random.Random(seed)
    talks = [talk(seed + number, runs=3) for number in range(3)]
    logs = [session.take() for session in talks]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "j.db")
        with closing(Journal(path)) as journal:
            for session, events in zip(talks, logs, strict=True):
                cut = dice.randrange(1, len(events))
                for part in (events[:cut], events[cut:]):
                    write(journal, head_of(session), part)
                    if dice.random() < 0.5:
                        journal.index()
                for _, first, _ in ended_runs(events):
                    if dice.random() < 0.5:
                        journal.events.fold_from(session.session_id, first)
            while journal.index():
                pass
            for gone in range(3):
                expected = set()
                for session, events in list(zip(talks, logs, strict=True))[gone:]:
                    texts = [e.text for e in events if isinstance(e, UserMessage | Done) and e.text]
                    texts += [session.labels.title] if session.labels.title else []
                    for text in texts:
                        expected |= words(text)
                known = {word for word in vocabulary(path) if not word.startswith(OWNER)}
                assert known == expected
                if dice.random() < 0.3:
                    journal.void(talks[gone].session_id)
                else:
                    journal.delete([talks[gone].session_id])
                finish(journal)
            assert vocabulary(path) == set()


def test_the_newest_title_is_found_and_an_older_one_is_not(journal: Journal) -> None:
    session = Session("s")
    session.begin("owner", 1)
    said(session, "a common question", "with an answer")
    session.rename("Zebra", "owner", 5)
    write(journal, head_of(session), session.take())
    assert found(journal, "zebra common answer") == {"s"}
    session.rename("Okapi", "owner", 6)
    write(journal, head_of(session), session.take())
    assert (found(journal, "zebra"), found(journal, "okapi question")) == (set(), {"s"})
    assert isinstance(journal.events.after("s", session.head - 1)[0], SessionUpdated)


@pytest.mark.parametrize("folded", [False, True])
def test_what_was_withdrawn_from_the_queue_is_not_found(journal: Journal, folded: bool) -> None:
    session = Session("s")
    session.begin("owner", 1)
    said(session, "a first question", "well")
    session.send(Send(text="common", client_msg_id="1"), "owner", "m", 5)
    active = session.active
    assert active
    waiting = []
    for text in ("pelican", "zebra", "okapi"):
        send = Send(text=f"{text} common", client_msg_id=text)
        waiting.append(session.send(send, "owner", "m", 6)[1].run_id)
    write(journal, head_of(session), session.take())
    assert found(journal, "pelican zebra okapi common") == {"s"}
    edit = Queue(edit=QueueEdit(run_id=waiting[0], text="stork"))
    session.change_queue(edit, User("owner"), 7)
    session.finish(waiting[1], "cancelled", "cancelled", 8, usage=Usage(0, 0))
    session.finish(active.run_id, "cancelled", "cancelled", 9, usage=Usage(1, 0))
    write(journal, head_of(session), session.take())
    if folded:
        journal.events.fold_from("s", active.first_seq)
    assert [found(journal, word) for word in ("pelican", "zebra")] == [set(), set()]
    assert found(journal, "stork okapi common question well") == {"s"}
    session.rename("Birds", "owner", 10)
    write(journal, head_of(session), session.take())
    assert [found(journal, word) for word in ("zebra", "stork birds")] == [set(), {"s"}]
    journal.delete(["s"])
    assert vocabulary(journal.path) == set()


def test_nor_is_it_where_the_session_was_read_anew_just_before(journal: Journal) -> None:
    session = Session("s")
    session.begin("owner", 1)
    said(session, "a first question", "well")
    write(journal, head_of(session), session.take())
    assert found(journal, "first") == {"s"}
    session.rename("Birds", "owner", 5)
    session.send(Send(text="common", client_msg_id="1"), "owner", "m", 5)
    send = Send(text="pelican", client_msg_id="2")
    edited = session.send(send, "owner", "m", 6)[1].run_id
    send = Send(text="zebra", client_msg_id="3")
    dropped = session.send(send, "owner", "m", 6)[1].run_id
    session.change_queue(Queue(edit=QueueEdit(run_id=edited, text="stork")), User("owner"), 7)
    session.finish(dropped, "cancelled", "cancelled", 8, usage=Usage(0, 0))
    write(journal, head_of(session), session.take())
    assert [found(journal, word) for word in ("pelican", "zebra")] == [set(), set()]
    assert found(journal, "birds stork common first") == {"s"}


VERSION_BEFORE = next(n for n, step in enumerate(MIGRATIONS) if "crisismerge" in step)


def test_a_journal_of_the_version_before_is_read_and_counted_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "j.db")
    session = Session("s")
    session.begin("owner", 1)
    said(session, "where is 東京")
    with closing(Journal(path)) as journal:
        write(journal, head_of(session), session.take())
        assert found(journal, "京") == {"s"}
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("DROP TABLE said_fts")
        file.execute(
            "CREATE VIRTUAL TABLE said_fts USING fts5 ("
            "words, content = '', detail = none, tokenize = 'ascii')"
        )
        file.execute("UPDATE counts SET answers = 9")
        file.executescript("DROP TABLE followers; DROP TABLE followed; DROP TABLE days")
        for name in ("begun", "ended", "counted", "uncounted", "gone"):
            file.execute(f"DROP TRIGGER days_{name}")
        file.execute("DROP INDEX leaving_to_blank")
        file.execute("ALTER TABLE leaving DROP COLUMN blanked")
        file.execute(f"PRAGMA user_version = {VERSION_BEFORE}")
    with closing(Journal(path)) as journal:
        assert found(journal, "京") == {"s"}
        while journal.tidy(1):
            pass
        assert journal.reports.figures(None, 0)["answers"] == 1
        journal.delete(["s"])
        assert vocabulary(path) == set()


def test_any_number_of_titles_harms_nobody(journal: Journal) -> None:
    """FTS5 takes itself for damaged where it is told to delete more than it has."""
    session = Session("s")
    session.begin("owner", 1)
    said(session, "how do I get to the airport", "by train")
    write(journal, head_of(session), session.take())
    for number in range(40):
        session.rename(
            f"Trip{number} to Paris{number} in {2000 + number} with many words", "owner", 5
        )
        write(journal, head_of(session), session.take())
        assert found(journal, f"paris{number} airport") == {"s"}
        assert found(journal, f"paris{number - 1}") == set()
    journal.delete(["s"])
    assert vocabulary(journal.path) == set()


def test_titles_in_a_row_are_read_once_and_the_clock_is_looked_at_after_each(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session("s")
    session.begin("owner", 1)
    said(session, "where is the airport", "there")
    for number in range(30):
        session.rename(f"title{number}", "owner", 5)
    write(journal, head_of(session), session.take())
    made: list[str] = []

    def counted(writer: sqlite3.Connection, session_id: str) -> None:
        made.append(session_id)
        rebuild(writer, session_id)

    monkeypatch.setattr(search, "rebuild", counted)
    assert found(journal, "airport title29") == {"s"}
    assert made == ["s"]
    for number in range(30):
        session.rename(f"name{number}", "owner", 6)
    write(journal, head_of(session), session.take())
    assert sum(1 for _ in iter(lambda: journal.index(0), False)) >= 30
    assert found(journal, "airport name29") == {"s"}
    assert found(journal, "title29") == set()


def test_nobody_reaches_another_list_by_the_word_that_stands_for_its_owner(
    journal: Journal,
) -> None:
    for name, user in (("s", "owner"), ("t", "other")):
        session = Session(name)
        session.begin(user, 1)
        said(session, f"holiday {of_owner('owner')} owner")
        write(journal, head_of(session), session.take())
    assert (found(journal, "holiday"), found(journal, "holiday", "other")) == ({"s"}, {"t"})
    assert not words(of_owner("owner")) & {of_owner("owner")}
    assert found(journal, of_owner("other")[:4]) == set()


def test_an_answer_that_done_does_not_repeat_is_found(journal: Journal) -> None:
    session = Session("s")
    session.begin("owner", 1)
    run = asked(session, "all?")
    for number in range(40):
        say(session, f"word{number} " * 300, 3)
    session.finish(run.run_id, "completed", "stop", 4, usage=Usage(1, 1))
    events = session.take()
    assert events[-1].text is None  # type: ignore[attr-defined]
    write(journal, head_of(session), events)
    assert found(journal, "word0 word39") == {"s"}
    journal.delete(["s"])
    assert vocabulary(journal.path) == set()


def test_a_session_that_is_adopted_is_found(journal: Journal, tmp_path: Path) -> None:
    session = Session("s")
    session.begin("owner", 1)
    said(session, "where is the pelican?")
    write(journal, head_of(session), session.take())
    with closing(Journal(str(tmp_path / "other.db"))) as other:
        other.adopt(head_of(session), journal.events.rows("s"))
        assert found(other, "pelican") == {"s"}
        other.void("s")
        assert vocabulary(other.path) == set()


@pytest.mark.parametrize("merged", [True, False])
def test_no_word_of_a_deleted_session_stays_however_much_there_is(
    journal: Journal, merged: bool
) -> None:
    dice = random.Random(1)
    names = [f"s{number}" for number in range(120)]
    for name in names:
        session = Session(name)
        session.begin("owner", 1)
        for number in range(2):
            said(session, f"the {number}", " ".join(f"w{dice.randrange(3000)}" for _ in range(300)))
        write(journal, head_of(session), session.take())
        journal.index()
        if merged:
            journal.merge(0)
    dice.shuffle(names)
    for name in names[:60]:
        journal.delete([name])
        if merged:
            journal.merge(0)
    with closing(sqlite3.connect(journal.path)) as database:
        docs = {doc for (doc,) in database.execute("SELECT doc FROM sessions")}
    assert documents(journal.path) == docs
    journal.delete(names[60:])
    assert (vocabulary(journal.path), documents(journal.path)) == (set(), set())


def test_many_sessions_are_deleted_some_at_a_time(journal: Journal) -> None:
    ids = []
    for number in range(40):
        session = Session(f"s{number}")
        session.begin("owner", 1)
        said(session, f"question {number}", "a long answer of many different words " * 50)
        journal.write([encoded(session.session_id, 1, session.take())], [head_of(session)])
        ids.append(session.session_id)
    assert len(found(journal, "question")) == 40
    left = journal.delete(ids, 0)
    assert len(left) == 39
    while left:
        left = journal.delete(left, 0.002)
    assert vocabulary(journal.path) == set()

"""Each text is stored once, and what is read is what was appended."""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
from contextlib import closing
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.core.fold import first_seq, fold, merge
from realtime.core.rows import Head, Listing, Refused
from realtime.core.session import Session
from realtime.log.encode import encoded, event_values
from realtime.log.journal import Journal
from realtime.log.journal.database import Database
from realtime.log.journal.migrations import MIGRATIONS
from realtime.log.words import words
from realtime.protocol import Done, Event, Send, Usage, UserMessage, decode_event, to_json
from tests.support.talk import ended_runs, head_of, say, talk

VERSION_BEFORE = 7
"""Of the journal: the last one that stored each text in several places."""


def write(journal: Journal, head: Head, events: list[Event]) -> None:
    part = encoded(head.row.session_id, 1, events)
    assert not journal.write([part], [] if part.only_tokens else [head])


def lines(events: list[Event]) -> list[bytes]:
    return [to_json(event) for event in events]


def check(journal: Journal, session_id: str, events: list[Event]) -> None:
    """Every way of reading gives these events, byte for byte."""
    whole = lines(merge(events))
    found = journal.session(session_id)
    assert found
    assert lines(merge(found[1])) == whole
    for after in range(events[-1].seq):
        got, seen = merge(events[:after]), after
        while seen < events[-1].seq:
            page = journal.replay(session_id, seen)
            got, seen = merge([*got, *page]), page[-1].seq
        assert lines(got) == whole
    before, back = 2**60, []
    while before:
        page, following, _ = journal.page(session_id, before, 3)
        back, before = [*page, *back], following or 0
    assert lines(fold(back)) == lines(fold(events))


def check_rows(journal: Journal, session_id: str, events: list[Event]) -> None:
    rows = journal.events.rows(session_id)
    assert lines(merge(decode_event(row.event_type, row.payload) for row in rows)) == lines(
        merge(events)
    )
    for row in rows:
        event = decode_event(row.event_type, row.payload)
        assert row.content == event_values(event, 1, b"")[6]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_read_is_what_was_appended(seed: int) -> None:
    dice = random.Random(seed)
    session = talk(seed)
    events, head = session.take(), head_of(session)
    session_id = session.session_id
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(str(Path(folder) / "j.db"))
        written = 0
        folded: set[str] = set()
        while written < len(events):
            upto = written + dice.randrange(1, 8)
            write(journal, head, events[written:upto])
            written = min(upto, len(events))
            if dice.random() < 0.3:
                journal.file()
            for run_id, first, _ in ended_runs(events[:written]):
                if run_id not in folded and dice.random() < 0.6:
                    folded.add(run_id)
                    journal.events.fold_from(session_id, first)
            if dice.random() < 0.2:
                check(journal, session_id, events[:written])
        check(journal, session_id, events)
        journal.file()
        check_rows(journal, session_id, events)

        with closing(Journal(str(Path(folder) / "other.db"))) as other:
            for _ in range(2):
                other.adopt(head, journal.events.rows(session_id))
                check(other, session_id, events)
                check_rows(other, session_id, events)
                other.void(session_id)
                finish(other)
                assert other.quarantine.count() == 0, "all of it is in the other store"
                assert leftovers(other.path) == []

        rows = journal.events.rows(session_id)
        journal.quarantine.add([Refused(session_id, 1, row.seq, "23514", "no") for row in rows])
        kept = journal.quarantine.rows()
        assert [(row.content, row.payload) for row in kept] == [
            (row.content, row.payload) for row in rows
        ]
        batch = journal.shipping.unshipped(10_000)
        assert sorted(batch.events, key=lambda row: row.seq) == rows
        journal.delete([session_id])
        finish(journal)
        assert leftovers(journal.path) == []
        journal.close()


def finish(journal: Journal) -> None:
    while journal.tidy():
        pass


def leftovers(path: str) -> list[str]:
    """Tables that hold anything of a session still."""
    with closing(sqlite3.connect(path)) as database:
        return [
            name
            for name in ("log", "texts", "sessions")
            if database.execute(f"SELECT count(*) FROM {name}").fetchone() != (0,)
        ]


def test_rows_are_in_order_also_where_a_run_ends_and_the_next_begins_at_once(
    tmp_path: Path,
) -> None:
    """Whoever has taken some of them has no hole."""
    session = Session("s")
    session.begin("u", 1)
    for number in range(3):
        session.send(Send(text=f"question {number}", client_msg_id=f"{number}"), "u", "m", 2)
    with closing(Journal(str(tmp_path / "j.db"))) as journal:
        write(journal, head_of(session), session.take())
        while run := session.active:
            for word in ("one ", "two ", "three"):
                say(session, word, 3)
                write(journal, head_of(session), session.take())
                journal.file()
            session.finish(run.run_id, "completed", "stop", 4, usage=Usage(1, 2))
            session.start_next("m", 4)
            write(journal, head_of(session), session.take())
            journal.events.fold_from("s", run.first_seq)
            seqs = [row.seq for row in journal.shipping.unshipped(1000).events]
            assert seqs == sorted(seqs)
            assert len(seqs) < session.head - 1, "tokens are joined"


def test_in_order_of_their_ids_texts_come_before_their_done(tmp_path: Path) -> None:
    """Whoever takes rows in that order knows the text of a `done` by then."""
    for seed in range(20):
        session = talk(seed)
        events, head = session.take(), head_of(session)
        journal = Journal(str(tmp_path / f"{seed}.db"))
        for event in events:
            write(journal, head, [event])
            journal.file()
        for span in ended_runs(events):
            journal.events.fold_from(session.session_id, span[1])
        seen: list[Event] = []
        for row in journal.shipping.unshipped(100_000).events:
            event = decode_event(row.event_type, row.payload)
            if isinstance(event, Done) and event.text:
                assert [e.seq for e in seen if e.run_id == event.run_id] == sorted(
                    e.seq for e in seen if e.run_id == event.run_id
                )
                assert first_seq(event) > max(e.seq for e in seen if e.run_id == event.run_id)
            seen.append(event)
        journal.close()


# ----------------------------------------------------------------------------- size


def speak(journal: Journal, sessions: int, answers: int, length: int) -> int:
    """Answers of so many characters in each of so many sessions at once, as a server stores
    them; the bytes of what was said."""
    dice = random.Random(1)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randrange(2, 9))) for _ in range(5000)]
    weights = list(accumulate(1 / rank for rank in range(1, 5001)))  # as in a language
    talking = [Session(uuid(dice), ids=lambda: uuid(dice)) for _ in range(sessions)]
    for session in talking:
        session.begin(f"guest-{uuid(dice)}", 1_767_225_600_000)

    def commit() -> None:
        parts = [encoded(session.session_id, 1, session.take()) for session in talking]
        tokens = all(part.only_tokens for part in parts)
        journal.write(parts, [] if tokens else [head_of(session) for session in talking])

    said = 0
    for _ in range(answers):
        for session in talking:
            question = " ".join(dice.choices(words, cum_weights=weights, k=12))
            said += len(question)
            asked = Send(text=question, client_msg_id=uuid(dice))
            session.send(asked, session.user_id, "gpt-5-mini", 1)
        commit()
        for _ in range(15):
            for session in talking:
                text = ""
                while len(text) < length / 15:
                    text += dice.choices(words, cum_weights=weights)[0] + " "
                say(session, text, 2)
                said += len(text)
            commit()
            journal.file()
        spans = []
        for session in talking:
            run = session.active
            assert run
            session.finish(run.run_id, "completed", "stop", 3, usage=Usage(1234, 876))
            spans.append((session.session_id, run.first_seq))
        commit()
        for span in spans:
            journal.events.fold_from(*span)
        journal.index()
    return said


def uuid(dice: random.Random) -> str:
    digits = f"{dice.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@pytest.mark.parametrize(("answers", "length"), [(72, 3800), (24, 12_000)])
def test_a_byte_of_text_takes_at_most_1_4_in_the_file(
    tmp_path: Path, answers: int, length: int
) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    said = speak(journal, 25, answers, length)
    journal.close()
    with closing(sqlite3.connect(journal.path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages_of_search = database.execute(
            "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name LIKE '%_fts%'"
        ).fetchone()[0]
    size = Path(journal.path).stat().st_size - pages_of_search
    assert said > 6_000_000
    assert size / said < 1.4, f"{size} bytes for {said} bytes of text"
    assert 0 < pages_of_search / said < 0.4, f"{pages_of_search} bytes for the search"


def test_a_long_output_is_not_stored_twice(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    session = talk(3)
    write(journal, head_of(session), session.take())
    with closing(sqlite3.connect(journal.path)) as database:
        calls = database.execute("SELECT length(content) FROM events WHERE event_type='tool_call'")
        assert max(length for (length,) in calls) < 500
    journal.close()


def test_a_null_is_a_value_and_the_texts_beside_it_stand_once(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    dice = random.Random(1)
    session = Session(uuid(dice), ids=lambda: uuid(dice))
    session.begin("owner", 1)
    session.send(Send(text="none?", client_msg_id="1", schema={"type": "null"}), "owner", "m", 1)
    say(session, "null", 2)
    assert session.active
    session.finish(session.active.run_id, "completed", "stop", 3, usage=Usage(1, 2), value=None)
    write(journal, head_of(session), session.take())
    with closing(sqlite3.connect(journal.path)) as database:
        found = database.execute("SELECT event_type, CAST(payload AS TEXT) FROM events")
        stored = {kind: json.loads(payload) for kind, payload in found}
    journal.close()
    assert stored["user_message"]["parent"] is stored["done"]["value"] is None
    assert not {"text", "session_id"} & (stored["user_message"].keys() | stored["done"].keys())


# ------------------------------------------------------------- for people who browse


def test_people_read_each_message_in_one_row(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    for seed in range(30):
        session = talk(seed)
        events, head = session.take(), head_of(session)
        write(journal, head, events)
        for span in ended_runs(events)[::2]:
            journal.events.fold_from(session.session_id, span[1])
        with closing(sqlite3.connect(journal.path)) as database:
            found = database.execute(
                "SELECT role, message_id, text, status FROM session_messages "
                "WHERE session_id = ? ORDER BY seq",
                (session.session_id,),
            ).fetchall()
        answers = {run.answer.message_id: run for run in session.started}
        assert {row[1:] for row in found if row[0] == "assistant"} == {
            (message_id, run.answer.text(), run.done.status if run.done else "running")
            for message_id, run in answers.items()
        }
        assert [row[2] for row in found if row[0] == "user"] == [
            run.user.text for run in session.started if run.user
        ]
    journal.close()


# ------------------------------------------------------------------ the version before


def test_a_journal_of_the_version_before_is_upgraded_in_place(tmp_path: Path) -> None:
    path = str(tmp_path / "old.db")
    Database(path, MIGRATIONS[:VERSION_BEFORE]).close()
    session = talk(11)
    events, head = session.take(), head_of(session)
    cut = next(at for at, event in enumerate(events) if isinstance(event, Done)) + 3
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "INSERT INTO sessions (session_id, user_id, epoch, start_time, summary_status, "
            "unfinished) VALUES (?, 'owner', 1, 1, 'none', 1)",
            (session.session_id,),
        )
        database.executemany(
            "INSERT INTO events (session_id, epoch, seq, first_seq, run_id, event_type, content, "
            "payload, created_at, provider_state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [event_values(event, 1, to_json(event)) for event in events[:cut]],
        )
    new = talk(12)
    new_events, new_head = new.take(), head_of(new)
    for turn in range(3):
        with closing(Journal(path)) as journal:
            if turn == 0:
                check(journal, session.session_id, events[:cut])
                (listed,) = journal.heads.page(Listing(user_id="owner", limit=5))
                assert listed.active_at == 1, "it has not ended"
                while journal.index():
                    pass
                texts = [e.text for e in events[:cut] if isinstance(e, UserMessage)]
                said = next(text for text in texts if words(text))
                wanted = Listing(user_id="owner", limit=5, wanted=said[:200])
                assert len(journal.search.find(wanted)) == 1, "what is old is found"
                batch = journal.shipping.unshipped(10_000)
                assert [row.seq for row in batch.events] == list(range(1, cut + 1))
                write(journal, head, events[cut:])  # half of it old, half of it new
                write(journal, new_head, new_events)
            else:
                for span in ended_runs(events):
                    journal.events.fold_from(session.session_id, span[1])
            check(journal, session.session_id, events)
            check_rows(journal, session.session_id, events)
            check(journal, new.session_id, new_events)
            rows = journal.heads.list_sessions(None, 10)
            assert {row.session_id for row in rows} == {session.session_id, new.session_id}
    with closing(Journal(path)) as journal:
        journal.delete([session.session_id, new.session_id])
        finish(journal)
    assert leftovers(path) == []

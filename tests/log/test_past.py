"""What a journal costs does not grow with its past: counts, lists, deletion, and the check."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from realtime.core.rows import Listing, Place, StorageError
from realtime.core.session import Session
from realtime.log.encode import encoded, event_values
from realtime.log.journal import Journal, database, leaving, slim, upkeep
from realtime.log.journal.database import Database
from realtime.log.journal.keeper import JournalKeeper
from realtime.log.journal.migrations import MIGRATIONS
from realtime.protocol import Done, Event, Send, Usage, UserMessage, to_json
from tests.log.test_once import VERSION_BEFORE, finish, leftovers, write
from tests.support.talk import asked, ended_runs, head_of, say, talk


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(str(tmp_path / "j.db"))) as opened:
        yield opened


def added_up(sessions: dict[str, list[object]]) -> tuple[int, int, int]:
    """Messages, answers and output tokens of these events."""
    events = [event for session in sessions.values() for event in session]
    done = [event for event in events if isinstance(event, Done)]
    asked = sum(isinstance(event, UserMessage) for event in events)
    answered = sum(event.status != "consumed" for event in done)
    return asked, answered, sum(event.usage.output_tokens for event in done)


def figures(journal: Journal, user: str | None = None) -> tuple[float, float, float]:
    found = journal.reports.figures(user, 0)
    return found["messages"], found["answers"], found["output_tokens"]


def test_counts_follow_every_commit(journal: Journal, tmp_path: Path) -> None:
    said: dict[str, list[object]] = {}
    for seed in range(8):
        session = talk(seed, owner=f"user-{seed % 2}")
        events, head = session.take(), head_of(session)
        said[session.session_id] = []
        for event in events:
            write(journal, head, [event])
            said[session.session_id].append(event)
            assert figures(journal) == added_up(said)
        for span in ended_runs(events):
            journal.events.fold_from(session.session_id, span[1])
        assert figures(journal) == added_up(said), "what is written again is not counted again"
    odd = {name: said[name] for place, name in enumerate(said) if place % 2}
    assert figures(journal, "user-1") == added_up(odd)

    name = next(iter(odd))
    found = journal.heads.find(name)
    assert found
    with closing(Journal(str(tmp_path / "other.db"))) as other:
        other.adopt(found, journal.events.rows(name))
        assert figures(other) == added_up({name: said[name]})
    journal.delete([name])
    said.pop(name)
    assert figures(journal) == added_up(said)


def test_a_message_that_an_answer_took_in_has_none(journal: Journal) -> None:
    session = Session("s")
    session.begin("owner", 1)
    run = asked(session, "paint it")
    session.send(Send(text="in blue", client_msg_id="2", if_busy="steer"), "owner", "m", 3)
    assert session.take_in(run.run_id, 4)
    say(session, "Blue it is.", 5)
    session.finish(run.run_id, "completed", "stop", 6, usage=Usage(5, 3))
    write(journal, head_of(session), session.take())
    assert figures(journal) == (2, 1, 3)
    with closing(sqlite3.connect(journal.path)) as file, file:
        file.execute("DELETE FROM counts")
        file.execute("INSERT INTO meta VALUES ('uncounted', '')")
    assert figures(journal) == (2, 1, 3), "added up from the rows"
    while journal.tidy(1):
        pass
    assert figures(journal) == (2, 1, 3), "counted from the rows"


DAY_MS = 86_400_000
MOMENTS = [
    0,
    1,
    DAY_MS,
    2 * DAY_MS,
    2 * DAY_MS + 1,
    3 * DAY_MS - 1,
    *range(0, 5 * DAY_MS, 30_000_001),
]


def of_days(journal: Journal) -> list[list[float]]:
    """What was said from each moment on, by the sums of days."""
    found = [journal.reports.figures(None, moment) for moment in MOMENTS]
    for one, moment in zip(found, MOMENTS, strict=True):
        of_users = [journal.reports.figures(f"user-{n}", moment) for n in range(3)]
        for name in one.keys() - {"mean_duration_seconds"}:
            whole = sum(figures[name] for figures in of_users)
            assert one[name] == pytest.approx(whole), f"{name} from {moment} on, by each session"
    return [list(one.values()) for one in found]


def test_the_sums_of_days_are_those_of_their_sessions(journal: Journal, tmp_path: Path) -> None:
    dice = random.Random(7)
    names = []
    for number in range(60):
        session = Session(f"s{number}")
        began = dice.choice([dice.randrange(4 * DAY_MS), 2 * DAY_MS, 3 * DAY_MS - 1])
        session.begin(f"user-{number % 3}", began)
        run = asked(session, "How much?")
        session.finish(run.run_id, "completed", "stop", began + 2, usage=Usage(5, 3, cost=0.25))
        write(journal, head_of(session), session.take())
        names.append(session.session_id)
        if dice.random() < 0.6:
            session.end(began + 3000, began + 3000)
            write(journal, head_of(session), session.take())
    told = of_days(journal)
    assert len({tuple(one) for one in told}) > 8, "the moments differ"

    older = str(tmp_path / "older.db")
    journal.checkpoint()
    shutil.copy(journal.path, older)
    with closing(sqlite3.connect(older)) as file:
        file.executescript("DROP TABLE days")
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            if name.startswith("days_"):
                file.execute(f"DROP TRIGGER {name}")
        file.execute(f"PRAGMA user_version = {len(MIGRATIONS) - 1}")
    with closing(Journal(older)) as opened:
        assert of_days(opened) == told

    with closing(Journal(str(tmp_path / "other.db"))) as other:
        for name in names:
            found = journal.heads.find(name)
            assert found
            other.adopt(found, journal.events.rows(name))
        assert of_days(other) == told
    journal.delete(names[:59])
    assert of_days(journal)[0][0] == 1
    journal.delete(names)
    assert {tuple(one) for one in of_days(journal)} == {(0,) * len(told[0])}


def test_sessions_of_an_older_version_are_counted_by_and_by(tmp_path: Path) -> None:
    path = str(tmp_path / "old.db")
    Database(path, MIGRATIONS[:VERSION_BEFORE]).close()
    said: dict[str, list[object]] = {}
    talks = [talk(seed) for seed in range(30)]
    with closing(sqlite3.connect(path)) as file, file:
        for session in talks:
            said[session.session_id] = list(events := session.take())
            file.execute(
                "INSERT INTO sessions (session_id, user_id, epoch, start_time, summary_status, "
                "unfinished) VALUES (?, 'owner', 1, 1, 'none', 0)",
                (session.session_id,),
            )
            file.executemany(
                "INSERT INTO events (session_id, epoch, seq, first_seq, run_id, event_type, "
                "content, payload, created_at, provider_state) VALUES (?,?,?,?,?,?,?,?,?,?)",
                [event_values(event, 1, to_json(event)) for event in events],
            )
    with closing(Journal(path)) as journal:
        assert figures(journal) == added_up(said)
        write(journal, head_of(new := talk(99)), events := new.take())
        said[new.session_id] = list(events)
        pieces = 0
        while journal.tidy(1e-4):
            pieces += 1
            assert figures(journal) == added_up(said)
        assert pieces > 1
        assert figures(journal) == added_up(said)
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM counts").fetchone() == (31,)
        assert not file.execute("SELECT 1 FROM meta WHERE name = 'uncounted'").fetchall()


def test_an_older_journal_is_not_changed_under_a_server_that_uses_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "j.db")
    caplog.set_level(logging.INFO, "realtime")
    with closing(Database(path, MIGRATIONS[:-1])) as older:
        with pytest.raises(StorageError, match="another server is using"):
            Journal(path, owner=False)
        assert older.query("PRAGMA user_version") == [(len(MIGRATIONS) - 1,)]
    Journal(path, owner=False).close()
    assert f"from version {len(MIGRATIONS) - 1} to {len(MIGRATIONS)}" in caplog.text
    with closing(Database(path, MIGRATIONS)) as newer:
        assert newer.query("PRAGMA user_version") == [(len(MIGRATIONS),)]


# ------------------------------------------------------------------------ the plans


def test_no_question_scans_the_log_or_sorts_all_sessions(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, object]] = []
    query = Database.query

    def noted(self: Database, sql: str, values: object = ()) -> list[object]:
        asked.append((sql, values))
        return query(self, sql, values)

    monkeypatch.setattr(Database, "query", noted)
    for user in (None, "u"):
        journal.reports.figures(user, 1)
        journal.heads.list_sessions(user, 200)
    for before in (None, Place(True, 5, "s")):
        for words in ("", "two words"):
            wanted = Listing(user_id="u", limit=50, before=before, wanted=words)
            (journal.search.find if words else journal.heads.page)(wanted)
    journal.heads.ended_before(5, 200, True)
    journal.heads.open_sessions()
    journal.heads.unsummarised()
    journal.shipping.unshipped(500)
    journal.reports.spent(5)
    journal.session("s")
    journal.events.before("s", 5, 5)
    with closing(sqlite3.connect(journal.path)) as file:
        for sql, values in asked:
            if not sql.lstrip().startswith("SELECT") or "sqlite_schema" in sql:
                continue
            plan = [row[3] for row in file.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            for line in plan:
                assert not re.search(r"SCAN (log|texts|events|said)\b", line), (sql, plan)
                assert line != "SCAN sessions", (sql, plan)
                assert not re.search(r"sessions_by_end \(end_time>\?\)$", line), (sql, plan)
            if "ORDER BY start_time" in sql:
                assert not any("TEMP B-TREE" in line for line in plan), (sql, plan)


# ---------------------------------------------------------------------------- deletion


def test_the_end_of_an_answer_costs_no_more_in_a_long_session(journal: Journal) -> None:
    session = Session("s")
    session.begin("owner", 1)
    steps = []
    for number in range(120):
        run = asked(session, f"question {number}")
        say(session, "an answer", 3)
        write(journal, head_of(session), session.take())
        journal.file()
        session.finish(run.run_id, "completed", "stop", 4, usage=Usage(1, 1))
        events = session.take()
        steps.append(steps_of(journal.path, events[-1]))
        write(journal, head_of(session), events)
    assert steps[-1] <= 2 * steps[1]


def steps_of(path: str, done: Event) -> int:
    """Of SQLite, until it is known how an event is stored."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    with closing(sqlite3.connect(path)) as writer:
        writer.set_progress_handler(step, 1)
        values = slim.of_event(writer, done, 1)
    assert values
    assert values[slim.COLUMNS.index("text_from")], "its text is that of its tokens"
    return count


async def test_deletion_goes_in_pieces_between_commits(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.log.journal.upkeep.PIECE_S", 0)
    names = []
    for seed in range(12):
        session = talk(seed)
        write(journal, head_of(session), session.take())
        names.append(session.session_id)
    keeper = JournalKeeper(journal)
    sizes = []
    file = sqlite3.connect(journal.path)
    deleting = asyncio.create_task(keeper.delete(names[:11]))
    while not deleting.done():
        await keeper.probe()  # a commit, in turn with the pieces
        sizes.append(file.execute("SELECT count(*) FROM log").fetchone()[0])
    await deleting
    file.close()
    assert len(set(sizes)) > 5
    assert max(a - b for a, b in pairwise(sizes)) <= 4 * leaving.ROWS
    rest = await keeper.fetch(names[11])
    assert rest
    assert sizes[-1] >= len(rest[1])
    await keeper.delete(names)
    assert leftovers(journal.path) == []
    await keeper.close()


def test_what_is_deleted_is_gone_at_once_and_a_crash_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "dies").mkdir()
    path = str(tmp_path / "dies/j.db")
    session = talk(5)
    events, head = session.take(), head_of(session)
    journal = Journal(path)
    write(journal, head, events)
    journal.outputs.add(session.session_id, "ref", "text/plain", b"long")
    journal.delete([session.session_id])
    assert journal.session(session.session_id) is None
    assert journal.events.rows(session.session_id) == []
    assert journal.heads.list_sessions(None, 10) == []
    assert journal.shipping.unshipped(10).events == []
    assert not journal.write([encoded(session.session_id, 1, events[:1])], [head]), "begun anew"
    assert "log" in leftovers(path)
    path = f"{shutil.copytree(tmp_path / 'dies', tmp_path / 'left')}/j.db"
    journal.close()
    with closing(Journal(path)) as again:
        finish(again)
        rows = again.events.rows(session.session_id)
        assert [row.seq for row in rows] == [1], "the new one stays"
        again.delete([session.session_id])
        finish(again)
        with closing(sqlite3.connect(path)) as file:
            assert file.execute("SELECT count(*) FROM outputs").fetchone() == (0,)
    assert leftovers(path) == []


# --------------------------------------------------------------------------- the check


def damaged(path: Path) -> None:
    """Write over a page in the middle that holds texts."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = file.execute(
            "SELECT pageno FROM dbstat WHERE name = 'texts' AND pagetype = 'leaf' LIMIT 1 OFFSET 3"
        ).fetchone()
        (size,) = file.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as raw:
        raw.seek((page - 1) * size)
        raw.write(b"\xff" * size)


async def test_a_large_file_is_looked_through_after_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "CHECKED_BYTES", 0)
    monkeypatch.setattr(upkeep, "CHECK_AFTER_S", 0)
    path = tmp_path / "j.db"
    with closing(Journal(str(path))) as journal:
        for seed in range(10):
            session = talk(seed)
            write(journal, head_of(session), session.take())
    for sound in (True, False):
        if not sound:
            damaged(path)
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            keeper = JournalKeeper(Journal(str(path)))
            assert not keeper.journal.set_aside
            await keeper.begin()
            await keeper.close()
        assert (f"{path} is damaged" in caplog.text) is not sound
    with closing(Journal(str(path))) as journal:
        assert journal.set_aside, "as what is found at the start"
        assert journal.heads.list_sessions(None, 10) == []
    with closing(Journal(str(path))) as journal:
        assert not journal.set_aside

"""Each text is stored once in Postgres too, and what is read is what was shipped."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from realtime.core.fold import merge
from realtime.core.rows import Batch, EventRow, Listing
from realtime.log.journal import Journal
from realtime.protocol import Done, Event, decode_event, to_json
from realtime.supabase import Supabase
from tests.log.test_once import speak, write
from tests.supabase.samples import new_id, ship
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite
from tests.support.talk import ended_runs, head_of, talk

BEFORE = [Path(__file__).parent / f"schema-{number}.sql" for number in (2, 3, 4)]
"""Schemas of older servers: the first two stored each text in several places."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(str(tmp_path / "j.db"))) as opened:
        yield opened


async def ship_all(supabase: Supabase, journal: Journal, limit: int = 500) -> list[Batch]:
    """Ship what waits; what was sent."""
    sent = []
    while batch := journal.shipping.unshipped(limit):
        assert await ship(supabase, batch) == []
        journal.shipping.shipped(batch)
        sent.append(batch)
    return sent


def lines(rows: list[EventRow]) -> list[bytes]:
    return texts(decode_event(row.event_type, row.payload) for row in rows)


def texts(events: Any) -> list[bytes]:
    return [to_json(event) for event in merge(events)]


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_read_is_what_was_shipped(
    supabase: Supabase, journal: Journal, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    session = talk(seed)
    events, head = session.take(), head_of(session)
    written: list[Event] = []
    sent = []
    while len(written) < len(events):
        new = events[len(written) :][: dice.randrange(1, 8)]
        write(journal, head, new)
        written += new
        if dice.random() < 0.5:
            journal.file()
        sent += await ship_all(supabase, journal, dice.randrange(3, 20))
        for span in ended_runs(written):
            if dice.random() < 0.3:
                journal.events.fold_from(session.session_id, span[1])
    journal.file()
    sent += await ship_all(supabase, journal)
    for again in dice.sample(sent, min(4, len(sent))):
        assert await ship(supabase, again) == []
    fetched = await supabase.fetch(session.session_id)
    assert fetched
    assert lines(fetched[1]) == texts(events)
    contents = {row.seq: row.content for row in journal.events.rows(session.session_id)}
    assert {row.seq: row.content for row in fetched[1]} == contents

    await supabase.ship(Batch([], [], 0), "worker-1", 60, [session.session_id])
    taken = await supabase.take(session.session_id, new_id(), 60)
    assert taken
    assert taken.head
    with closing(Journal(str(tmp_path / "other.db"))) as other:
        other.adopt(taken.head, taken.events)
        found = other.session(session.session_id)
        assert found
        assert texts(found[1]) == texts(events)


async def test_people_read_each_message_in_one_row(
    supabase: Supabase, journal: Journal, project: SupabaseLite
) -> None:
    for seed in range(20, 40):
        session = talk(seed)
        write(journal, head_of(session), events := session.take())
        for span in ended_runs(events)[::2]:
            journal.events.fold_from(session.session_id, span[1])
        await ship_all(supabase, journal)
        found = json.loads(
            project.psql(
                "select coalesce(json_agg(m order by seq), '[]') from session_messages m "
                f"where session_id = '{session.session_id}'"
            )
        )
        answers = {run.answer.message_id: run for run in session.started}
        assert {
            (row["message_id"], row["text"], row["status"])
            for row in found
            if row["role"] == "assistant"
        } == {
            (message_id, run.answer.text(), run.done.status if run.done else "running")
            for message_id, run in answers.items()
        }
        assert [row["text"] for row in found if row["role"] == "user"] == [
            run.user.text for run in session.started if run.user
        ]


async def test_users_read_their_own_messages(
    supabase: Supabase, journal: Journal, project: SupabaseLite
) -> None:
    owner = new_id()
    session = talk(50, owner=owner)
    write(journal, head_of(session), session.take())
    await ship_all(supabase, journal)
    count = f"select count(*) > 0 from session_messages where session_id = '{session.session_id}'"
    for user, sees in ((owner, "t"), (new_id(), "f")):
        mine = f"set local request.jwt.claim.sub = '{user}'; set local role authenticated;"
        assert project.psql(f"{mine} {count}").splitlines()[-1] == sees
    with pytest.raises(AssertionError, match="permission denied"):
        project.psql("select * from session_messages", role="anon")


SIZE = """
    select sum(pg_total_relation_size(c.oid)) from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
      and c.relname not like '%fts%'
"""


async def test_a_byte_of_text_takes_at_most_1_8_with_its_indexes(
    postgres: Postgres, journal: Journal
) -> None:
    said = speak(journal, 25, 72, 3800)
    with SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as project:
        supabase = await Supabase.connect(project.url, project.secret_key)
        await ship_all(supabase, journal)
        await supabase.close()
        size = int(project.psql(SIZE))
    assert said > 6_000_000
    assert size / said < 1.8, f"{size} bytes for {said} bytes of text"


@pytest.mark.parametrize("before", BEFORE, ids=["2", "3", "4"])
async def test_a_project_of_an_older_version_is_upgraded_in_place(
    postgres: Postgres, journal: Journal, before: Path
) -> None:
    session = talk(11)
    events, head = session.take(), head_of(session)
    cut = next(at for at, event in enumerate(events) if isinstance(event, Done)) + 3
    with SupabaseLite(postgres.database(), schema=before.read_text()) as project:
        supabase = await Supabase.connect(project.url, project.secret_key)
        (told,) = await supabase.check()
        assert f"version {before.stem[-1]}" in told.message
        write(journal, head, events[:cut])
        await ship_all(supabase, journal)
        mine = Listing(user_id=session.user_id, limit=5)
        (listed,) = await supabase.find_sessions(mine)
        assert listed.session_id == session.session_id
        assert await supabase.find_sessions(replace(mine, wanted="question")) == []
        for _ in range(2):
            project.psql(SCHEMA.read_text())
        project.stop()
        project.start()
        assert await supabase.check() == []
        (listed,) = await supabase.find_sessions(mine)
        assert listed.active_at == (listed.end_time or listed.start_time)
        assert (listed.title, listed.pinned, listed.status) == (None, False, "idle")
        for part in (events[:cut], events):
            if part is events:
                write(journal, head, events[cut:])
                await ship_all(supabase, journal)
                for span in ended_runs(events):
                    journal.events.fold_from(session.session_id, span[1])
                await ship_all(supabase, journal)
            fetched = await supabase.fetch(session.session_id)
            assert fetched
            assert lines(fetched[1]) == texts(part)
        await supabase.close()


async def test_rows_as_a_worker_of_the_version_before_ships_them(
    supabase: Supabase, journal: Journal, project: SupabaseLite
) -> None:
    """It sends what this one sends: whole rows."""
    session = talk(60)
    write(journal, head_of(session), events := session.take())
    for row in journal.shipping.unshipped(10_000).events:
        sent = decode_event(row.event_type, row.payload)
        assert msgspec.json.decode(row.payload) == msgspec.to_builtins(sent)
    await ship_all(supabase, journal)
    doubled = project.psql(
        "select count(*) from session_events where payload ?| array['delta', 'session_id'] "
        f"and session_id = '{session.session_id}'"
    )
    assert doubled == "0"
    fetched = await supabase.fetch(session.session_id)
    assert fetched
    assert lines(fetched[1]) == texts(events)

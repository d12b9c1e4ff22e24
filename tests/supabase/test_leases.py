"""Who may write a session: one worker at a time, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from realtime.core.rows import HeldElsewhere, SessionRow, StorageError, Taken
from realtime.live.archive import stored
from realtime.log.journal import Journal
from realtime.log.journal.keeper import JournalKeeper
from realtime.log.log import Log
from realtime.protocol import SessionStarted, to_json
from realtime.supabase import Leases, Supabase
from realtime.supabase.shipped import Lost
from tests.supabase.samples import T0, batch, event, head_of, new_id, session
from tests.support.supabase_lite import SupabaseLite

LEASE_S = 60.0


async def begun(supabase: Supabase, worker: str, **fields: object) -> SessionRow:
    """A session that a worker began and shipped."""
    head = session(**fields)
    await supabase.ship(batch(head, event(head, 1), event(head, 2)), worker, LEASE_S)
    return head


def silent(project: SupabaseLite, worker: str, seconds: float = LEASE_S) -> None:
    """Nothing was heard of the worker for so long."""
    project.psql(
        f"update realtime_workers set until = now() - {seconds} * interval '1 second' "
        f"where worker = '{worker}'"
    )


async def in_touch(supabase: Supabase, project: SupabaseLite, worker: str) -> None:
    """The worker has been heard of for longer than a lease."""
    await supabase.ship(batch(), worker, LEASE_S)
    project.psql(
        f"update realtime_workers set since = now() - interval '1 hour' where worker = '{worker}'"
    )


async def test_nobody_takes_what_a_living_worker_holds(supabase: Supabase) -> None:
    one, two = new_id(), new_id()
    head = await begun(supabase, one)
    with pytest.raises(HeldElsewhere) as held:
        await supabase.take(head.session_id, two, LEASE_S)
    assert held.value.retry_after_ms > 0
    assert await supabase.take(head.session_id, one, LEASE_S, 1) is None, "its own, as it is"


async def test_what_was_let_go_is_taken_with_a_new_epoch(supabase: Supabase) -> None:
    one, two = new_id(), new_id()
    head = await begun(supabase, one, end_time=T0 + 1)
    answer = await supabase.ship(batch(), one, LEASE_S, [head.session_id])
    assert answer.lost == []
    assert await supabase.take(head.session_id, one, LEASE_S, 1) is None, "nobody wrote meanwhile"
    await supabase.ship(batch(), one, LEASE_S, [head.session_id])

    taken = await supabase.take(head.session_id, two, LEASE_S)
    assert taken
    assert taken.head
    assert taken.head.row.epoch == 2
    assert [row.seq for row in taken.events] == [1, 2]
    with pytest.raises(HeldElsewhere):
        await supabase.take(head.session_id, one, LEASE_S, 1)


async def test_what_cannot_be_stored_here_is_not_held_here(
    supabase: Supabase, tmp_path: Path
) -> None:
    one, head = new_id(), session()
    begun = SessionStarted(
        session_id=head.session_id, seq=1, ts=T0, user_id=head.user_id, start_time=T0
    )
    row = event(head, 1, "session_started", content="", payload=to_json(begun))
    await supabase.ship(batch(head, row), one, LEASE_S)
    await supabase.ship(batch(), one, LEASE_S, [head.session_id])
    log = Log(JournalKeeper(Journal(str(tmp_path / "j.db"))))
    leases = Leases(supabase, await log.keeper.worker())
    with closing(sqlite3.connect(tmp_path / "j.db")) as file:
        file.execute(
            "CREATE TRIGGER full BEFORE INSERT ON sessions "
            "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
        with pytest.raises(StorageError):
            await stored(log, leases, head.session_id)
        assert not leases.holds(head.session_id)
        file.execute("DROP TRIGGER full")
    found = await stored(log, leases, head.session_id)
    assert found
    assert [event.seq for event in found[1]] == [1]
    assert leases.holds(head.session_id)
    await log.close()


async def test_rows_of_an_older_epoch_are_refused_and_no_others(supabase: Supabase) -> None:
    one, two = new_id(), new_id()
    moved, stayed = await begun(supabase, one), await begun(supabase, one)
    await supabase.ship(batch(), one, LEASE_S, [moved.session_id])
    taken = await supabase.take(moved.session_id, two, LEASE_S)
    assert taken
    assert taken.head
    late = batch(moved, stayed, event(moved, 3), event(stayed, 3))
    for _ in range(2):
        answer = await supabase.ship(late, one, LEASE_S)
        assert answer.lost == [Lost(moved.session_id, "taken")]
        assert answer.refused == []
    fetched = await supabase.fetch(moved.session_id)
    assert fetched
    assert [row.seq for row in fetched[1]] == [1, 2]
    fetched = await supabase.fetch(stayed.session_id)
    assert fetched
    assert [row.seq for row in fetched[1]] == [1, 2, 3]

    # Another worker's copy under the very same epoch is refused as well.
    raised = session(moved.session_id, epoch=2)
    answer = await supabase.ship(batch(raised, event(raised, 3)), one, LEASE_S)
    assert answer.lost == [Lost(moved.session_id, "taken")]


async def test_a_silent_worker_loses_its_sessions_and_hears_of_it(
    supabase: Supabase, project: SupabaseLite
) -> None:
    one, two = new_id(), new_id()
    head = await begun(supabase, one)
    silent(project, one)
    with pytest.raises(HeldElsewhere):
        await supabase.take(head.session_id, two, LEASE_S)  # it may be Supabase that was away
    await in_touch(supabase, project, two)
    taken = await supabase.take(head.session_id, two, LEASE_S)
    assert taken
    assert taken.head
    assert taken.head.row.epoch == 2
    heard = await supabase.ship(batch(), one, LEASE_S)
    assert heard.lost == [Lost(head.session_id, "taken")], "with nothing of its own to ship"
    again = await supabase.take(head.session_id, two, LEASE_S, 2)
    assert again is None


async def test_a_worker_that_leaves_frees_everything_at_once(supabase: Supabase) -> None:
    one, two = new_id(), new_id()
    heads = [await begun(supabase, one) for _ in range(3)]
    await supabase.leave(one)
    for head in heads:
        assert await supabase.take(head.session_id, two, LEASE_S)


async def test_only_one_of_many_gets_it(supabase: Supabase) -> None:
    head = await begun(supabase, "gone")
    await supabase.leave("gone")
    answers = await asyncio.gather(
        *(supabase.take(head.session_id, new_id(), LEASE_S) for _ in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Taken) for answer in answers) == 1
    assert sum(isinstance(answer, HeldElsewhere) for answer in answers) == 7


async def test_what_dead_workers_left_is_found(supabase: Supabase, project: SupabaseLite) -> None:
    one, two = new_id(), new_id()
    running = await begun(supabase, one)
    unsummed = await begun(supabase, one, end_time=T0 + 1, summary_status="pending")
    over = await begun(supabase, one, end_time=T0 + 1, summary_status="done")
    mine = {running.session_id, unsummed.session_id, over.session_id}

    async def found() -> set[str]:
        return mine & set(await supabase.abandoned(two, LEASE_S, 1000))

    silent(project, one, 2 * LEASE_S)
    assert await found() == set(), "not by one who has only just come"
    await in_touch(supabase, project, two)
    assert await found() == {running.session_id, unsummed.session_id}
    silent(project, one, -1)
    assert await found() == set(), "its owner is heard of again"


async def test_a_deleted_session_never_comes_back(supabase: Supabase) -> None:
    head = await begun(supabase, "one")
    await supabase.delete([head.session_id, new_id()])
    late = await supabase.ship(batch(head, event(head, 3)), "one", LEASE_S)
    assert late.lost == [Lost(head.session_id, "deleted")]
    assert await supabase.fetch(head.session_id) is None
    assert await supabase.take(head.session_id, "one", LEASE_S, 1) == Taken(None, [])


async def test_a_worker_forgets_what_it_deletes(supabase: Supabase) -> None:
    leases = Leases(supabase, new_id())
    gone, stays = session(), session()
    for head in (gone, stays):
        leases.began(head.session_id)
        await supabase.ship(batch(head, event(head, 1)), leases.worker, LEASE_S)
    await leases.delete([gone.session_id])
    assert [leases.holds(head.session_id) for head in (gone, stays)] == [False, True]
    assert await supabase.fetch(gone.session_id) is None
    assert await supabase.fetch(stays.session_id)


async def test_a_delete_that_fails_forgets_nothing(project: SupabaseLite) -> None:
    supabase = await Supabase.connect(project.url, project.secret_key)
    leases = Leases(supabase, new_id())
    leases.began(session_id := new_id())
    await supabase.close()
    with pytest.raises(StorageError):
        await leases.delete([session_id])
    assert leases.holds(session_id)


async def test_what_is_read_back_has_all_of_the_head(supabase: Supabase) -> None:
    row = session(end_time=T0 + 5, duration_seconds=0.005)
    head = head_of(row, 3)
    head.left_at, head.share_key = T0 + 4, "a-key"
    await supabase.ship(batch(), "one", LEASE_S)
    whole = batch(cursor=3)
    whole.sessions.append(head)
    await supabase.ship(whole, "one", LEASE_S)
    await supabase.leave("one")
    taken = await supabase.take(row.session_id, "two", LEASE_S)
    assert taken
    assert taken.head
    assert (taken.head.left_at, taken.head.share_key) == (T0 + 4, "a-key")


async def test_a_session_is_let_go_of_once_all_of_it_is_there(supabase: Supabase) -> None:
    leases = Leases(supabase, new_id())
    leases.began("s")
    leases.left("s")
    assert leases.letting_go(["s"], complete=False) == []
    leases.answered(well=True)
    assert leases.letting_go([], complete=True) == ["s"]
    leases.answered(well=False)
    assert leases.letting_go([], complete=True) == ["s"], "until that was heard"
    leases.answered(well=True)
    assert leases.letting_go([], complete=True) == []

"""Followers of the log: what each is given, and where it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from realtime.core.session import Session
from realtime.log.encode import encoded
from realtime.log.journal import Journal
from realtime.log.journal.keeper import JournalKeeper
from realtime.protocol import Event, Token
from tests.support.talk import ended_runs, head_of, talk


async def commit(keeper: JournalKeeper, session: Session, events: list[Event]) -> None:
    for event in events:
        part = encoded(session.session_id, 1, [event])
        assert not await keeper.commit([part], [] if part.only_tokens else [head_of(session)])


def told(events: list[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Token)]


async def all_unseen(keeper: JournalKeeper, name: str, session_id: str) -> list[Event]:
    """Seen as they come."""
    found: list[Event] = []
    while events := await keeper.unseen(name, session_id):
        found += events
        await keeper.seen(name, session_id, events[-1].seq)
    return found


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[JournalKeeper]:
    one = JournalKeeper(Journal(str(tmp_path / "journal.db")))
    yield one
    await one.close()


async def test_a_follower_is_given_everything_but_tokens_once_and_in_order(
    keeper: JournalKeeper,
) -> None:
    news = (await keeper.follow(["a"]))["a"]
    for seed in range(5):
        session = talk(seed)
        events = session.take()
        half = len(events) // 2
        await commit(keeper, session, events[:half])
        assert news.is_set()
        assert await keeper.changed("a") == [session.session_id]
        first = await all_unseen(keeper, "a", session.session_id)
        await commit(keeper, session, events[half:])
        keeper.tend(0, [(session.session_id, first) for _, first, _ in ended_runs(events)])
        await keeper.file()
        assert await keeper.changed("a") == [session.session_id]
        second = await all_unseen(keeper, "a", session.session_id)
        assert first + second == told(events), "rows that were joined are not given again"
        assert await keeper.changed("a") == []


async def test_each_has_its_own_place_and_a_new_one_begins_now(keeper: JournalKeeper) -> None:
    await keeper.follow(["a"])
    session = talk(1)
    events = session.take()
    await commit(keeper, session, events)
    await keeper.follow(["a", "b"])
    assert await keeper.changed("b") == []
    assert await keeper.unseen("b", session.session_id) == []
    assert await keeper.changed("a") == [session.session_id]
    assert await all_unseen(keeper, "a", session.session_id) == told(events)


async def test_what_was_not_seen_is_told_at_the_next_start(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    keeper = JournalKeeper(Journal(path))
    await keeper.follow(["a"])
    sessions = [talk(seed) for seed in range(3)]
    taken = {one.session_id: one.take() for one in sessions}
    for one in sessions:
        await commit(keeper, one, taken[one.session_id])
    assert set(await keeper.changed("a")) == set(taken)
    done, half, _ = taken
    await all_unseen(keeper, "a", done)
    part = await keeper.unseen("a", half)
    await keeper.seen("a", half, part[0].seq)
    await keeper.close()

    keeper = JournalKeeper(Journal(path))
    await keeper.follow(["a"])
    assert set(await keeper.changed("a")) == taken.keys() - {done}
    assert await all_unseen(keeper, "a", half) == told(taken[half])[1:]
    await keeper.close()


async def test_a_session_that_was_deleted_is_told_no_more(keeper: JournalKeeper) -> None:
    await keeper.follow(["a"])
    session = talk(1)
    await commit(keeper, session, session.take())
    assert await keeper.changed("a") == [session.session_id]
    await keeper.delete([session.session_id])
    assert await keeper.unseen("a", session.session_id) == []
    await keeper.seen("a", session.session_id, 1)
    assert await keeper.changed("a") == []


async def test_who_no_longer_follows_is_forgotten(keeper: JournalKeeper) -> None:
    await keeper.follow(["a"])
    session = talk(1)
    await commit(keeper, session, session.take())
    await keeper.changed("a")
    await keeper.follow([])
    await keeper.follow(["a"])
    assert await keeper.changed("a") == []

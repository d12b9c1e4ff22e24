"""One contract, whoever keeps the log: the journal, or an engine that workers share."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from realtime.core.fold import first_seq, fold, merge
from realtime.core.rows import Deleted, EventRow, Head, Listing
from realtime.core.session import Session
from realtime.live.listing import place_of
from realtime.log.encode import Append, encoded
from realtime.log.hot.keeper import HotLog
from realtime.log.hot.line import Line
from realtime.log.journal import Journal
from realtime.log.journal.keeper import JournalKeeper
from realtime.log.keeper import Keeper
from realtime.protocol import Done, Event, File, SessionUpdated, Token, UserMessage, to_json
from tests.support.engine import KINDS, Engine
from tests.support.talk import head_of, talk

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Engine]]:
    found = {kind: Engine(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}
    for engine in found.values():
        engine.start()
    yield found
    for engine in found.values():
        engine.stop()


@pytest.fixture(params=["journal", *KINDS])
async def keeper(
    request: pytest.FixtureRequest, engines: dict[str, Engine], tmp_path: Path
) -> AsyncIterator[Keeper]:
    if request.param == "journal":
        made: Keeper = JournalKeeper(Journal(str(tmp_path / "j.db")))
    else:
        engine = engines[request.param]
        engine.flushall()
        lines = [Line(engine.address, name) for name in ("log", "side")]
        for line in lines:
            await line.start()
        hot = HotLog(*lines, "{rt1}:", "worker")
        await hot.start()
        made = hot
    yield made
    await made.close()


async def kept(keeper: Keeper, seed: int, *, owner: str = "owner") -> tuple[Session, list[Event]]:
    """A random session, committed in pieces between which rows are joined."""
    dice = random.Random(seed)
    session = talk(seed, owner=owner)
    events, at = session.take(), 0
    first = {event.run_id: event.seq for event in reversed(events)}
    while at < len(events):
        piece = events[at : at + dice.randrange(1, 7)]
        at += len(piece)
        one = encoded(session.session_id, 1, piece)
        heads = [] if one.only_tokens else [head_of(session)]
        one.head = heads[0] if heads else None
        assert not await keeper.commit([one], heads)
        ended = [first[event.run_id] for event in piece if isinstance(event, Done)]
        keeper.tend(len(piece), [(session.session_id, seq) for seq in ended])
        if dice.random() < 0.3:
            await keeper.file()
    return session, events


def lines(events: list[Event]) -> list[bytes]:
    return [to_json(event) for event in merge(events)]


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_read_is_what_was_committed(keeper: Keeper, seed: int) -> None:
    session, events = await kept(keeper, seed)
    found = await keeper.session(session.session_id)
    assert found
    assert lines(found[1]) == lines(events)
    assert found[0].row == session.row()
    for after in range(0, events[-1].seq, 3):
        got, seen = merge(events[:after]), after
        while seen < events[-1].seq:
            page = await keeper.replay(session.session_id, seen)
            assert first_seq(page[0]) <= seen + 1
            got, seen = merge([*got, *page]), page[-1].seq
        assert lines(got) == lines(events)
    got, before = [], 2**60
    while before is not None:
        page, before, _ = await keeper.page(session.session_id, before, 5)
        got = fold([*page, *got])
    assert [to_json(event) for event in got] == [to_json(event) for event in fold(events)]


async def test_an_epoch_is_kept_with_the_head(keeper: Keeper) -> None:
    session, _ = await kept(keeper, 3)
    session.epoch = 2  # somebody may have seen what was not stored
    head = head_of(session)
    assert not await keeper.commit([Append(session.session_id, 2, [], [], False, head)], [head])
    found = await keeper.session(session.session_id)
    assert found
    assert found[0].row.epoch == 2


async def test_lists_searches_and_figures(keeper: Keeper) -> None:
    made = [await kept(keeper, seed, owner="mine") for seed in range(6)]
    await kept(keeper, 99, owner="another")
    by_id = {session.session_id: (session, events) for session, events in made}
    assert {row.session_id for row in await keeper.list_sessions("mine", 10)} == by_id.keys()
    assert len(await keeper.list_sessions(None, 10)) == 7
    assert len(await keeper.list_sessions(None, 3)) == 3
    listed = [row for archived in (False, True) for row in await _listed(keeper, archived)]
    assert {row.session_id for row in listed} == by_id.keys()
    for row in listed:
        session, events = by_id[row.session_id]
        assert row == session.row()
        said = [event for event in events if isinstance(event, UserMessage) and event.text]
        wanted = Listing(
            user_id="mine", limit=10, archived=row.archived, wanted=said[-1].text.split(".")[0]
        )
        if wanted.wanted.isascii() and "replaces" not in to_json(said[-1]).decode():
            found = await keeper.find_sessions(wanted)
            assert row.session_id in {other.session_id for other in found}
    nothing = Listing(user_id="mine", limit=10, wanted="unheardof")
    assert await keeper.find_sessions(nothing) == []
    figures = await keeper.figures("mine", 0)
    done = [event for _, events in made for event in events if isinstance(event, Done)]
    assert figures["sessions"] == 6
    assert figures["answers"] == sum(event.status != "consumed" for event in done)
    assert figures["input_tokens"] == sum(event.usage.input_tokens for event in done)
    assert figures["sessions_ended"] == sum(s.ended is not None for s, _ in made)
    spent = await keeper.spent(0)
    titles = [e for _, events in made for e in events if isinstance(e, SessionUpdated) and e.usage]
    tokens = [e.usage.input_tokens + e.usage.output_tokens for e in [*done, *titles] if e.usage]
    assert sum(row[2] for row in spent if row[1] == "mine") == sum(tokens)


async def _listed(keeper: Keeper, archived: bool) -> list[object]:
    """All pages, two rows each."""
    rows, before = [], None
    while True:
        page = await keeper.find_sessions(
            Listing(user_id="mine", limit=2, before=before, archived=archived)
        )
        rows += page
        if len(page) < 2:
            return rows
        before = place_of(page[-1])


async def test_what_is_deleted_is_gone(keeper: Keeper) -> None:
    session, events = await kept(keeper, 1)
    other, _ = await kept(keeper, 2)
    await keeper.add_output(session.session_id, "ref", "text", b"long")
    assert await keeper.output(session.session_id, "ref") == ("text", b"long")
    file = File("file", "a.txt", "text/plain", 4)
    assert await keeper.add_file(session.session_id, "owner", file, "0" * 64, None, 1)
    assert [found for found, _ in await keeper.files(session.session_id, ["file", "no"])] == [file]
    await keeper.delete([session.session_id])
    assert await keeper.session(session.session_id) is None
    assert await keeper.row(session.session_id) is None
    assert await keeper.known([session.session_id, other.session_id]) == {other.session_id}
    assert await keeper.output(session.session_id, "ref") is None
    assert await keeper.files(session.session_id, ["file"]) == []
    assert not await keeper.add_file(session.session_id, "owner", file, "0" * 64, None, 1)
    assert [row.session_id for row in await keeper.list_sessions(None, 9)] == [other.session_id]
    again = encoded(session.session_id, 1, events[-1:])
    again.head = head_of(session)
    lost = await keeper.commit([again], [again.head])
    assert [*lost] == [session.session_id]
    assert isinstance(lost[session.session_id], Deleted)
    assert await keeper.session(session.session_id) is None


async def test_all_of_it_is_shipped_and_comes_back(keeper: Keeper) -> None:
    session, events = await kept(keeper, 3)
    await keeper.file()
    rows: dict[int, EventRow] = {}
    head: Head | None = None
    while batch := await keeper.unshipped(7):
        assert len(batch.events) <= 7
        for row in batch.events:
            rows = {seq: old for seq, old in rows.items() if not row.first_seq <= seq <= row.seq}
            rows[row.seq] = row
        head = batch.sessions[0]
        await keeper.shipped(batch)
    assert head
    assert head.row == session.row()
    whole = await keeper.fetch(session.session_id)
    assert whole
    assert [rows[seq].payload for seq in sorted(rows)] == [row.payload for row in whole[1]]
    assert not await keeper.quarantined()
    await keeper.void(session.session_id)
    assert await keeper.session(session.session_id) is None
    assert not await keeper.quarantined(), "all of it is elsewhere"
    head.row.epoch = 2
    await keeper.adopt(head, [rows[seq] for seq in sorted(rows)])
    found = await keeper.session(session.session_id)
    assert found
    assert found[0].row.epoch == 2
    assert lines(found[1]) == lines(events)
    assert not await keeper.unshipped(7), "it is there already"


async def test_what_others_write_now_and_was_not_shipped_is_set_aside(keeper: Keeper) -> None:
    session, _ = await kept(keeper, 4)
    await keeper.file()
    await keeper.void(session.session_id)
    assert await keeper.quarantined()
    assert await keeper.session(session.session_id) is None


async def test_a_follower_is_given_what_happened_once(keeper: Keeper) -> None:
    old, _ = await kept(keeper, 5)
    news = await keeper.follow(["hook"])
    await keeper.changed("hook")
    session = talk(6)
    session_id, events = session.session_id, session.take()
    for event in events:
        event.ts = 2**42  # later than the follower
        one = encoded(session_id, 1, [event])
        one.head = None if one.only_tokens else head_of(session)
        assert not await keeper.commit([one], [one.head] if one.head else [])
    assert news["hook"].is_set()
    await keeper.file()
    assert session_id in await keeper.changed("hook")
    told: list[Event] = []
    while found := await keeper.unseen("hook", session_id):
        told += found
        await keeper.seen("hook", session_id, found[-1].seq)
    wanted = [event for event in events if not isinstance(event, Token)]
    assert [to_json(event) for event in told] == [to_json(event) for event in wanted]
    assert not await keeper.unseen("hook", old.session_id), "it was there before"
    await keeper.delete([session_id])
    assert not await keeper.unseen("hook", session_id)

"""The shipper, from a source in memory to a real project: well, in an outage, and after."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from realtime.core.rows import Batch, EventRow, Refused, SessionRow
from realtime.supabase import Leases, Shipper, Supabase, SupabaseError
from realtime.supabase.batches import fitting, table_at_fault
from realtime.supabase.shipped import Lost, Shipped
from realtime.supabase.shipper import MAX_EVENTS
from tests.supabase.samples import batch, event, head_of, new_id, plain, session
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite, free_port

QUICK = (0.02, 0.1, 0.1)
AT_ONCE = (1e-6, 1e-6, 1e-6)


class MemorySource:
    """A journal in memory: rows with ids of their own, heads, and the cursor."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.rows: list[EventRow] = []
        self.heads: dict[str, SessionRow] = {}
        self.cursor = 0
        self.broken = False
        self.worker = new_id()
        self.quarantine: list[Refused] = []
        self._moved = asyncio.Event()

    def add(self, head: SessionRow, *rows: EventRow) -> None:
        self.heads[head.session_id] = head
        for row in rows:
            row.id = len(self.rows) + 1
            self.rows.append(row)

    async def unshipped(self, limit: int) -> Batch:
        if self.broken:
            raise OSError("the disk is gone")
        rows = self.rows[self.cursor : self.cursor + limit]
        names = dict.fromkeys(row.session_id for row in rows)
        cursor = rows[-1].id if rows else 0
        heads = [head_of(self.heads[name], cursor) for name in names]
        return Batch(heads, rows, cursor, complete=len(rows) < limit)

    async def shipped(self, batch: Batch) -> None:
        assert batch.cursor > self.cursor
        self.cursor = batch.cursor
        self._moved.set()

    async def refused(self, rows: Sequence[Refused]) -> None:
        self.quarantine += rows

    async def drained(self, timeout_s: float = 30) -> None:
        async with asyncio.timeout(timeout_s):
            while self.cursor < len(self.rows):
                self._moved.clear()
                await self._moved.wait()


class Between:
    """A project behind a line that can be made to fail."""

    def __init__(self, supabase: Supabase) -> None:
        self.supabase = supabase
        self.before: Callable[[Batch], None] = lambda batch: None
        self.after: Callable[[Batch], None] = lambda batch: None
        self.batches: list[tuple[float, int]] = []

    async def ship(self, batch: Batch, *lease: Any) -> Shipped:
        self.batches.append((time.monotonic(), len(batch.events)))
        self.before(batch)
        shipped = await self.supabase.ship(batch, *lease)
        self.after(batch)
        return shipped

    async def leave(self, worker: str) -> None:
        await self.supabase.leave(worker)


def shipper_of(source: MemorySource, line: Any, **options: Any) -> Shipper:
    """As of a worker that holds nothing longer than it takes to ship it."""

    async def lost(session: Lost) -> None:
        raise AssertionError(session)

    return Shipper(source, line, Leases(line, source.worker), on_lost=lost, **options)


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


@pytest.fixture(scope="module")
def unsteady(postgres: Postgres) -> Iterator[SupabaseLite]:
    """A project that a test may stop and start."""
    with SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as lite:
        yield lite


@pytest.fixture
async def impatient(unsteady: SupabaseLite) -> AsyncIterator[Supabase]:
    """A stopping server may take a request and never answer it."""
    client = await Supabase.connect(unsteady.url, unsteady.secret_key, timeout_s=2)
    yield client
    await client.close()


@pytest.fixture
async def shippers() -> AsyncIterator[list[Shipper]]:
    started: list[Shipper] = []
    yield started
    for shipper in started:
        await shipper.stop(0)


async def until(true: Callable[[], bool], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.01)


async def assert_all_arrived(supabase: Supabase, source: MemorySource) -> None:
    """Row by row: nothing lost, nothing doubled, nothing else."""
    for head in source.heads.values():
        expected = [plain(row) for row in source.rows if row.session_id == head.session_id]
        fetched = await supabase.fetch(head.session_id)
        assert fetched is not None
        assert fetched[0] == head
        assert [plain(row) for row in fetched[1]] == expected


async def test_a_row_is_there_at_once_and_requests_are_few(
    supabase: Supabase, source: MemorySource, shippers: list[Shipper]
) -> None:
    line = Between(supabase)
    shipper = shipper_of(source, line)
    shippers.append(shipper)
    shipper.start()
    head = session()
    behind: list[float] = []
    for seq in range(1, 100):
        added = time.monotonic()
        source.add(head, event(head, seq))
        source.news.set()
        if seq % 20 == 1:
            await source.drained()
            behind.append(time.monotonic() - added)
        await asyncio.sleep(0.02)
    await source.drained()

    assert max(behind) < 5
    starts = [start for start, _ in line.batches]
    assert all(later - start >= 0.24 for start, later in pairwise(starts))
    assert shipper.state.status == "ok"
    assert shipper.state.backlog_age_s == 0
    await assert_all_arrived(supabase, source)


async def test_a_backlog_goes_in_full_batches_without_pause(
    supabase: Supabase, source: MemorySource, shippers: list[Shipper]
) -> None:
    heads = [session() for _ in range(20)]
    for seq in range(1, 201):
        for head in heads:
            source.add(head, event(head, seq))
    line = Between(supabase)
    shippers.append(shipper_of(source, line, pause_s=300))
    shippers[0].start()
    await source.drained()

    assert [size for _, size in line.batches] == [MAX_EVENTS] * 8
    await assert_all_arrived(supabase, source)


async def test_an_outage_costs_nothing(
    unsteady: SupabaseLite, impatient: Supabase, source: MemorySource, shippers: list[Shipper]
) -> None:
    line = Between(impatient)
    shipper = shipper_of(source, line, pause_s=0.01, retry_s=QUICK)
    shippers.append(shipper)
    shipper.start()
    heads = [session() for _ in range(5)]
    seqs = iter(range(1, 10_000))

    async def talk(rounds: int) -> None:
        for _ in range(rounds):
            seq = next(seqs)
            for head in heads:
                source.add(head, event(head, seq))
            source.news.set()
            await asyncio.sleep(0.001)

    await talk(100)
    stopping = asyncio.to_thread(unsteady.stop)
    await asyncio.gather(stopping, talk(300))
    await talk(100)
    await until(lambda: "cannot be reached" in (shipper.state.last_error or ""))
    assert shipper.state.status == "degraded"
    assert source.cursor < len(source.rows)
    assert shipper.state.backlog_age_s > 0

    await asyncio.gather(asyncio.to_thread(unsteady.start), talk(100))
    await source.drained()
    await until(lambda: shipper.state.status == "ok")
    await assert_all_arrived(impatient, source)
    in_order = unsteady.psql(
        "select bool_and(rising) from (select seq > lag(seq, 1, 0::bigint) over "
        "(partition by session_id order by id) as rising from session_events) e"
    )
    assert in_order == "t"


async def test_an_answer_lost_after_the_commit(
    supabase: Supabase, source: MemorySource, shippers: list[Shipper]
) -> None:
    line = Between(supabase)
    lost: list[int] = []

    def lose(batch: Batch) -> None:
        if len(line.batches) % 3:
            lost.append(batch.cursor)
            raise SupabaseError("unavailable", "The answer was lost.", "")

    line.after = lose
    head = session()
    source.add(head, *(event(head, seq) for seq in range(1, 800)))
    shippers.append(shipper_of(source, line, pause_s=0, retry_s=QUICK))
    shippers[0].start()
    await source.drained()
    assert len(lost) >= 2
    await assert_all_arrived(supabase, source)


async def test_the_next_life_goes_on_at_the_cursor(
    supabase: Supabase, source: MemorySource
) -> None:
    head = session()
    source.add(head, *(event(head, seq) for seq in range(1, 1801)))
    lives = 0
    while source.cursor < len(source.rows):
        line = Between(supabase)
        shipper = shipper_of(source, line)
        shipper.start()
        await until(lambda line=line: bool(line.batches))  # type: ignore[misc]
        await asyncio.sleep(0.03 * lives)  # each lives longer, until one gets its answer
        await shipper.stop(0)
        lives += 1
    assert lives > 1
    await assert_all_arrived(supabase, source)


async def test_a_bad_row_is_reported_and_passed(
    supabase: Supabase,
    source: MemorySource,
    shippers: list[Shipper],
    caplog: pytest.LogCaptureFixture,
) -> None:
    head, other = session(), session()
    bad = event(head, 2, "")
    source.add(head, event(head, 1), bad, event(head, 3))
    source.add(other, event(other, 1))
    shippers.append(shipper_of(source, supabase))
    shippers[0].start()
    await source.drained()
    await until(lambda: shippers[0].state.refused == 1)

    assert [(row.session_id, row.seq, row.code) for row in source.quarantine] == [
        (head.session_id, 2, "23514")
    ]
    assert head.session_id in caplog.text
    assert shippers[0].state.status == "ok"
    source.rows.remove(bad)
    await assert_all_arrived(supabase, source)


@pytest.mark.parametrize("kind", ["too_large", "refused", "blocked", "url_wrong"])
async def test_a_row_that_spoils_the_whole_request_is_found(
    supabase: Supabase, source: MemorySource, shippers: list[Shipper], kind: str
) -> None:
    head = session()
    source.add(head, *(event(head, seq) for seq in range(1, 701)))
    bad = source.rows[432]
    line = Between(supabase)

    def spoil(batch: Batch) -> None:
        if bad in batch.events:
            raise SupabaseError(kind, "No.", "", True)  # type: ignore[arg-type]

    line.before = spoil
    shippers.append(shipper_of(source, line))
    shippers[0].start()
    await source.drained()
    await until(lambda: bool(source.quarantine))

    assert [row.seq for row in source.quarantine] == [bad.seq]
    assert len(line.batches) < 40
    source.rows.remove(bad)
    await assert_all_arrived(supabase, source)


async def test_permanent_trouble_is_told_once_and_retried_more_and_more_slowly(
    project: SupabaseLite,
    supabase: Supabase,
    source: MemorySource,
    shippers: list[Shipper],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stranger = await Supabase.connect(project.url, "sb_secret_of_another_project")
    line = Between(stranger)
    shipper = shipper_of(source, line, retry_s=(0.01, 0.01, 0.15))
    shippers.append(shipper)
    head = session()
    source.add(head, event(head, 1))
    shipper.start()
    async with asyncio.timeout(30):
        while len(line.batches) < 8:
            source.news.set()
            await asyncio.sleep(0.01)

    starts = [start for start, _ in line.batches]
    assert all(later - start >= 0.07 for start, later in pairwise(starts[4:]))
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1
    assert "SUPABASE_KEY" in told[0].getMessage()
    assert "SUPABASE_KEY" in (shipper.state.last_error or "")

    line.supabase = supabase
    await source.drained()
    await until(lambda: shipper.state.status == "ok")
    await stranger.close()


async def test_stop_ships_what_is_left(supabase: Supabase, source: MemorySource) -> None:
    shipper = shipper_of(source, supabase)
    shipper.start()
    head = session()
    source.add(head, event(head, 1))
    source.news.set()
    await source.drained()
    source.add(head, *(event(head, seq) for seq in range(2, 1501)))
    assert await shipper.stop()
    assert source.cursor == 1500
    assert await shipper.stop()


async def test_stop_does_not_wait_for_ever(source: MemorySource) -> None:
    nobody = await Supabase.connect(f"http://127.0.0.1:{free_port()}", "sb_secret_x")
    head = session()
    source.add(head, event(head, 1))
    shipper = shipper_of(source, nobody, retry_s=QUICK)
    shipper.start()
    await until(lambda: shipper.state.status == "degraded")
    began = time.monotonic()
    assert not await shipper.stop(timeout_s=0.3)
    assert time.monotonic() - began < 10
    await nobody.close()


async def test_stop_ends_wherever_a_retry_is(source: MemorySource, supabase: Supabase) -> None:
    source.broken = True
    for _ in range(30):
        shipper = shipper_of(source, supabase, retry_s=AT_ONCE)
        shipper.start()
        await until(lambda shipper=shipper: shipper.state.status == "degraded")
        stop = asyncio.create_task(shipper.stop(timeout_s=0.01))
        done, _ = await asyncio.wait({stop}, timeout=5)
        assert done
        assert not stop.result()


async def test_a_source_that_fails_is_asked_again(
    supabase: Supabase, source: MemorySource, shippers: list[Shipper]
) -> None:
    source.broken = True
    shipper = shipper_of(source, supabase, retry_s=QUICK)
    shippers.append(shipper)
    shipper.start()
    await until(lambda: shipper.state.status == "degraded")
    source.broken = False
    head = session()
    source.add(head, event(head, 1))
    await source.drained()
    await until(lambda: shipper.state.status == "ok")


def test_a_batch_is_cut_to_size_behind_a_whole_row() -> None:
    one, two = session(), session()
    rows = [event(head, seq, content="x" * 400) for seq in (1, 2) for head in (one, two)]
    for number, row in enumerate(rows, 1):
        row.id = number
    whole = batch(one, two, *rows)
    assert fitting(whole, 100_000) is whole
    assert fitting(whole, 2000) == Batch(
        [head_of(one, 4), head_of(two, 4)], rows[:2], 2, complete=False
    )
    assert fitting(whole, 1) == Batch([head_of(one, 4)], rows[:1], 1, complete=False)


def test_tables_that_take_nothing_are_not_a_bad_row() -> None:
    one, two = session(), session()
    whole = batch(one, two, event(one, 1), event(two, 1))

    def refused(of: SessionRow, code: str = "23514") -> Refused:
        return Refused(session_id=of.session_id, epoch=1, seq=1, code=code, message="…")

    assert table_at_fault(whole, []) is None
    assert table_at_fault(whole, [refused(one)]) is None
    everything = table_at_fault(whole, [refused(one), refused(two)])
    assert everything is not None
    assert everything.permanent
    assert table_at_fault(whole, [refused(one, "23502")]) is not None

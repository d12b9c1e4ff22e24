"""The log as the event loop sees it: append, commit, then publish.

One flush serves all sessions. While a batch is being committed the next one gathers,
so the batches grow with the load and an idle server commits at once. Nothing is
published, and no ticket is honoured, before the commit that makes it last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from realtime.log.fold import first_seq, fold, merge, newest
from realtime.log.journal import Head, Journal, event_row
from realtime.log.rows import Batch, EventRow, SessionRow, StorageError
from realtime.protocol import MAX_PAGE_BYTES, Event, to_json

T = TypeVar("T")
logger = logging.getLogger(__name__)


class _Pending:
    """What waits for the next commit."""

    def __init__(self) -> None:
        self.events: list[tuple[str, list[Event], int]] = []
        self.heads: dict[str, Head] = {}
        self.folds: list[tuple[str, str, int, int]] = []
        self.awaited = False
        self.ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Log:
    """Group commit over the journal. Made and used inside one running event loop.

    `publish(session_id, events)` is called on the loop after the commit, in order;
    `failed(session_ids, error)` instead of it, when the commit did not happen.
    `on_commit()` follows every write. All three are set by whoever listens.
    """

    publish: Callable[[str, Sequence[Event]], None]
    failed: Callable[[set[str], StorageError], None]

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.on_commit: Callable[[], None] = lambda: None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal-writer")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="journal-reader")
        self._pending = _Pending()
        self._wake = asyncio.Event()
        self._closing = False
        self._folding: set[asyncio.Future[None]] = set()
        self._task = asyncio.create_task(self._run(), name="log")

    # ---------------------------------------------------------------- writing

    def append(
        self, head: Head, events: list[Event], fold: tuple[str, int, int] | None = None
    ) -> asyncio.Future[None]:
        """Hand over events of one session; the ticket is done once they are committed and
        published. It raises `StorageError` when that failed. Shield it before awaiting:
        it is shared by everything in the batch.

        `fold`: (run_id, first seq, last seq) of a run that these events end.
        """
        pending = self._pending
        session_id = head.row.session_id
        pending.events.append((session_id, events, head.row.epoch))
        pending.heads[session_id] = head
        if fold:
            pending.folds.append((session_id, *fold))
        self._wake.set()
        return pending.ticket

    async def settled(self) -> None:
        """Wait until everything appended so far is published. Raises `StorageError`."""
        self._pending.awaited = True
        self._wake.set()
        await asyncio.shield(self._pending.ticket)

    async def _run(self) -> None:
        while not (self._closing and not self._pending.heads):
            await self._wake.wait()
            self._wake.clear()
            if not (self._pending.heads or self._pending.awaited):
                continue
            batch, self._pending = self._pending, _Pending()
            try:
                await self._write(self._commit, batch)
            except StorageError as error:
                self._fail(batch, error)
                continue
            for session_id, events, _ in batch.events:
                self.publish(session_id, events)
            batch.ticket.set_result(None)
            for session_id, run_id, first, last in batch.folds:
                self._fold(session_id, run_id, first, last)
            self.on_commit()

    def _commit(self, batch: _Pending) -> None:
        rows = [event_row(event, epoch) for _, events, epoch in batch.events for event in events]
        self.journal.write(rows, batch.heads.values())

    def _fail(self, batch: _Pending, error: StorageError) -> None:
        logger.error("commit failed: %s", error)
        self.failed(set(batch.heads), error)
        batch.ticket.set_exception(error)
        batch.ticket.exception()  # nobody may be waiting

    def _fold(self, session_id: str, run_id: str, first: int, last: int) -> None:
        def folded(future: asyncio.Future[None]) -> None:
            self._folding.discard(future)
            if future.cancelled():
                return
            if error := future.exception():
                logger.warning("run %s stays unfolded: %s", run_id, error)
            self.on_commit()

        future = asyncio.ensure_future(
            self._write(self.journal.fold_run, session_id, run_id, first, last)
        )
        self._folding.add(future)
        future.add_done_callback(folded)

    async def _write(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, *args)

    async def adopt(self, row: SessionRow, events: Sequence[EventRow]) -> None:
        await self._write(self.journal.adopt, row, events)

    async def shipped(self, cursor: int) -> None:
        await self._write(self.journal.shipped, cursor)

    async def close(self) -> None:
        """Commit what is pending, then let go of the file."""
        self._closing = True
        self._wake.set()
        await self._task
        await asyncio.gather(*self._folding, return_exceptions=True)
        self._writer.shutdown()
        self._readers.shutdown()
        self.journal.close()

    # ---------------------------------------------------------------- reading

    async def read(self, work: Callable[..., T], *args: Any) -> T:
        """Run one of the journal's reading methods in a reader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *args)

    async def unshipped(self, limit: int) -> Batch:
        return await self.read(self.journal.unshipped, limit)

    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        return await self.read(self.journal.figures, user_id, since)

    async def replay(self, session_id: str, after_seq: int) -> list[Event]:
        """The next page behind `after_seq`, tokens merged, bounded in size."""
        rows = await self.read(self.journal.after, session_id, after_seq, 2000)
        return fitting(merge(rows))

    async def page(
        self, session_id: str, before_seq: int, limit: int = 200
    ) -> tuple[list[Event], int | None]:
        """The newest folded events before `before_seq`, and where the next page ends."""
        events: list[Event] = []
        before = before_seq
        while True:
            rows = await self.read(self.journal.before, session_id, before, 500)
            events = fold(rows + events)
            page, next_before = newest(events, limit=limit, max_bytes=MAX_PAGE_BYTES)
            if not rows or len(page) < len(events):
                return page, next_before
            before = first_seq(rows[0])


def fitting(events: list[Event]) -> list[Event]:
    """As many of the first events as one page may hold; at least one."""
    size = 0
    for count, event in enumerate(events):
        size += len(to_json(event)) + 32
        if size > MAX_PAGE_BYTES and count:
            return events[:count]
    return events

"""The log as the event loop sees it: append, commit, then publish.

One flush serves all sessions. An idle server commits at once; under load the loop rests
after a flush, the longer the more events there are, up to 33 ms: then one flush takes all
that came meanwhile. Nothing is published, and no ticket is honoured, before its commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any, TypeVar

from ..core.rows import Batch, EventRow, Head, Refused, StorageError
from ..protocol import Event, to_json
from . import pages
from .encode import Part
from .journal import Journal
from .pace import LogCount, Pace

CHECKPOINT_EVENTS = 1000  # small ones: commits that meet a large one wait for it
PROBE_S = 1.0
EARLY_S = 0.25
FILE_S = 0.5  # how long tokens stay loose
FILED_AT_ONCE = 50  # sessions; a commit that meets them waits some milliseconds
BRISK_S = 0.03  # after a question the loop does not rest: it crosses it several times

T = TypeVar("T")
Ticket = asyncio.Future[None]
logger = logging.getLogger(__name__)


class _Appended(Part):
    """A part, and who waits for it."""

    ticket: Ticket
    published: bool = False


class _Pending:
    """What waits for the next commit."""

    def __init__(self) -> None:
        self.parts: list[_Appended] = []
        self.heads: dict[str, Head] = {}
        self.folds: list[tuple[str, str, int, int]] = []
        self.settled: list[Ticket] = []

    @property
    def empty(self) -> bool:
        return not (self.parts or self.settled)

    def forget(self, session_ids: set[str], error: StorageError) -> None:
        """Leave out what followed on something that was not stored."""
        for part in self.parts:
            if part.session_id in session_ids:
                settle(part.ticket, error)
        self.parts = [part for part in self.parts if part.session_id not in session_ids]
        self.folds = [fold for fold in self.folds if fold[0] not in session_ids]
        for session_id in session_ids:
            self.heads.pop(session_id, None)


class Log:
    """Group commit over the journal. Made and used inside one running event loop.

    `publish(part)` is called on the loop after the commit, in order;
    `failed(session_ids, error)` instead of it, when the commit did not happen.
    `on_commit()` follows every write of rows, `repaired()` the first that works after a failure.
    They are set by whoever listens.

    `broken` says why nothing can be written, while that is so: appends then fail at once,
    reads go on where they can, and a probe tries the file until it takes writes again.

    With `early_tokens` tokens are published at once and committed within 250 ms, so the
    death of the process can take some back: after it the runs' sessions get a new epoch.
    """

    publish: Callable[[Part], None]
    failed: Callable[[set[str], StorageError], None]
    repaired: Callable[[], Awaitable[None]]

    def __init__(self, journal: Journal, *, early_tokens: bool = False) -> None:
        self.journal = journal
        self.early_tokens = early_tokens
        self._unpublished: Counter[str] = Counter()  # parts of a session that wait
        self.broken: StorageError | None = None
        self.on_commit: Callable[[], None] = lambda: None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal-writer")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="journal-reader")
        self._pending = _Pending()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._pace = Pace()
        self._brisk_until = 0.0
        self.count = LogCount()
        self._untidy = 0  # events since the last checkpoint
        self._tidying: asyncio.Future[None] | None = None
        self._closing = False
        self._prober: asyncio.Task[None] | None = None
        self._filing: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._task = asyncio.create_task(self._run(), name="log")

    # ---------------------------------------------------------------- writing

    def append(
        self,
        session_id: str,
        epoch: int,
        events: list[Event],
        *,
        head: Head | None = None,
        fold: tuple[str, int, int] | None = None,
    ) -> Ticket:
        """Hand over events of one session; the ticket is done once they are committed and
        published. It raises `StorageError` when that failed, or the session was deleted.

        `head`: the session's head, with whatever changes it. Tokens do not; nothing but
        tokens comes without one.
        `fold`: (run_id, first seq, last seq) of a run that these events end.
        """
        pending = self._pending
        ticket: Ticket = self._loop.create_future()
        try:
            payloads = [to_json(event) for event in events]
        except (ValueError, TypeError, RecursionError) as error:
            logger.exception("an event cannot be written", extra={"session_id": session_id})
            refusal = StorageError(f"it cannot be written: {error}")
            self.failed({session_id}, refusal)  # the fault of one session fails that alone
            settle(ticket, refusal)
            return ticket
        part = _Appended(session_id, epoch, events, payloads, head is None, ticket)
        pending.parts.append(part)
        if head:
            pending.heads[session_id] = head
            self._brisk_until = monotonic() + BRISK_S
        if fold:
            pending.folds.append((session_id, *fold))
        if self.early_tokens:
            if not head and not self._unpublished[session_id]:
                self._publish_early(part)
                return ticket
            self._unpublished[session_id] += 1
        self._wake.set()
        return ticket

    def _publish_early(self, part: _Appended) -> None:
        """Show tokens at once, where nothing of their session is still to be shown."""
        part.published = True
        self._show(part)
        settle(part.ticket)
        if self._alarm is None:
            self._alarm = self._loop.call_later(EARLY_S, self._wake.set)

    @property
    def pending(self) -> int:
        """Appends that wait for a commit."""
        return len(self._pending.parts)

    async def settled(self) -> None:
        """Wait until everything appended so far is published. Raises `StorageError`."""
        ticket: Ticket = self._loop.create_future()
        self._pending.settled.append(ticket)
        self._wake.set()
        await ticket

    async def _run(self) -> None:
        while not (self._closing and self._pending.empty):
            await self._wake.wait()
            self._wake.clear()
            if self._alarm:
                self._alarm.cancel()
                self._alarm = None
            if self._pending.empty:
                continue
            batch, self._pending = self._pending, _Pending()
            if self.broken:
                self._fail(batch, self.broken)
                continue
            begun = monotonic()
            try:
                gone = await self._write(self._commit, batch)
            except Exception as error:
                self._break(batch, error)
                continue
            if gone:
                deleted = StorageError("the session was deleted")
                self._pending.forget(gone, deleted)
                self.failed(gone, deleted)
            events, firm = 0, False
            for part in batch.parts:
                events += len(part.events)
                firm = firm or not part.only_tokens
                if part.session_id in gone:
                    settle(part.ticket, deleted)
                elif not part.published:
                    self._show(part)
                    settle(part.ticket)
            self._forget_unpublished(batch)
            for ticket in batch.settled:
                settle(ticket)
            for fold in batch.folds:
                self._tidy_up(self.journal.fold_run, *fold)
            self._file_later()
            if firm:
                self.on_commit()
            self.count.events += events
            self.count.flushes += 1
            self.count.flush_s += monotonic() - begun
            self._tidy(events)
            await self._rest(events)

    def _tidy(self, events: int) -> None:
        self._untidy += events
        if self._untidy >= CHECKPOINT_EVENTS and self._tidying is None:
            self._untidy = 0
            self._tidying = self._loop.run_in_executor(self._readers, self.journal.checkpoint)
            self._tidying.add_done_callback(self._tidied)

    def _tidied(self, future: asyncio.Future[None]) -> None:
        self._tidying = None
        if not future.cancelled() and (error := future.exception()):
            logger.warning("the journal could not be tidied: %s", error)

    async def _rest(self, events: int) -> None:
        """Hold the loop up on purpose; a timer would let it wake for each arrival."""
        now = monotonic()
        seconds = self._pace.rest(now, events)
        if seconds and now >= self._brisk_until and not self.early_tokens:
            self.count.rest_s += seconds
            sleep(seconds)  # noqa: ASYNC251
            self._pace.woke = monotonic()
            await asyncio.sleep(0)  # what has come is read
            await asyncio.sleep(0)  # and appended

    def _forget_unpublished(self, batch: _Pending) -> None:
        if self.early_tokens:
            self._unpublished.subtract(p.session_id for p in batch.parts if not p.published)
            self._unpublished = +self._unpublished  # forgets those at zero

    def _show(self, part: _Appended) -> None:
        try:
            self.publish(part)
        except Exception:  # the log outlives whoever listens
            logger.exception("publishing failed", extra={"session_id": part.session_id})

    def _commit(self, batch: _Pending) -> set[str]:
        return self.journal.write(batch.parts, batch.heads.values())

    def _break(self, batch: _Pending, error: Exception) -> None:
        """Take nothing more until something can be written again."""
        self.count.failures += 1
        logger.error("commit failed, refusing what would be stored: %s", error)
        self.broken = error if isinstance(error, StorageError) else StorageError(str(error))
        self._fail(batch, self.broken)
        self._prober = asyncio.create_task(self._probe(), name="log probe")

    def _fail(self, batch: _Pending, error: StorageError) -> None:
        self._forget_unpublished(batch)
        if sessions := {part.session_id for part in batch.parts}:
            self.failed(sessions, error)
        for ticket in (*(part.ticket for part in batch.parts), *batch.settled):
            settle(ticket, error)

    async def _probe(self) -> None:
        while self.broken:
            await asyncio.sleep(PROBE_S)
            try:
                await self._write(self.journal.probe)
            except StorageError:
                continue
            self.broken = None
            logger.warning("the journal can be written again")
            self._file_later()
            await self.repaired()

    def _file_later(self) -> None:
        if self._filing or self.broken or self._closing:
            return
        if self.journal.loose:
            share = min(1.0, FILED_AT_ONCE / len(self.journal.loose))
            self._filing = self._loop.call_later(FILE_S * share, self._file)

    def _file(self) -> None:
        self._filing = None
        self._tidy_up(self.journal.file, FILED_AT_ONCE)

    def _tidy_up(self, work: Callable[..., None], *args: Any) -> None:
        """Bring rows into a better form, when the writing thread comes to it."""

        def done(future: asyncio.Future[None]) -> None:
            self._tasks.discard(future)
            if future.cancelled():
                return
            if error := future.exception():
                logger.warning("%s%r is left undone: %s", work.__name__, args, error)
            self.on_commit()
            self._file_later()

        future = asyncio.ensure_future(self._write(work, *args))
        self._tasks.add(future)
        future.add_done_callback(done)

    async def _write(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, *args)

    async def keep(self, session_id: str, output_ref: str, kind: str, data: bytes) -> None:
        """Store a tool's output, which is too long for an event. Raises `StorageError`."""
        await self._write(self.journal.keep, session_id, output_ref, kind, data)

    async def delete(self, session_ids: Sequence[str]) -> None:
        await self._write(self.journal.delete, session_ids)

    async def adopt(self, head: Head, events: Sequence[EventRow]) -> None:
        await self._write(self.journal.adopt, head, events)

    async def void(self, session_id: str) -> None:
        await self._write(self.journal.void, session_id)

    async def shipped(self, batch: Batch) -> None:
        await self._write(self.journal.shipped, batch)

    async def refused(self, rows: Sequence[Refused]) -> None:
        await self._write(self.journal.quarantine.keep, rows)

    async def close(self) -> None:
        """Commit what is pending, then let go of the file."""
        self._closing = True
        if self._prober:
            self._prober.cancel()
        self._wake.set()
        await self._task
        if self._filing:
            self._filing.cancel()
        self._tidy_up(self.journal.file)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writer.shutdown()
        self._readers.shutdown()
        if self.early_tokens and not self.broken:
            self.journal.showing_early(False)
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
        return await self.read(pages.replay, self.journal, session_id, after_seq)

    async def page(
        self, session_id: str, before_seq: int, limit: int = 200
    ) -> tuple[list[Event], int | None]:
        """The newest folded events before `before_seq`, and where the next page ends."""
        return await self.read(pages.page, self.journal, session_id, before_seq, limit)


def settle(ticket: Ticket, error: StorageError | None = None) -> None:
    """Tell whoever waits; nobody may, any more."""
    if ticket.done():
        return
    if error is None:
        ticket.set_result(None)
    else:
        ticket.set_exception(error)
        ticket.exception()

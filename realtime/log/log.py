"""The log as the event loop sees it: append, commit, then publish.

One flush serves all sessions. An idle server commits at once; under load the loop rests
after a flush, the longer the more events there are, up to 33 ms: then one flush takes all
that came meanwhile. Nothing is published, and no ticket is honoured, before its commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from time import monotonic, sleep
from typing import Protocol

from ..core.rows import Head, StorageError
from ..protocol import Event, to_json
from .encode import Append
from .keeper import Keeper, Span
from .pace import LogCount, Pace

PROBE_S = 1.0
EARLY_S = 0.25
BRISK_S = 0.03  # after a question the loop does not rest: it crosses it several times

Ticket = asyncio.Future[None]
logger = logging.getLogger(__name__)


class _Waiting(Append, kw_only=True):
    """An append, and who waits for it."""

    ticket: Ticket
    published: bool = False


class _Pending:
    """What waits for the next commit."""

    def __init__(self) -> None:
        self.appends: list[_Waiting] = []
        self.heads: dict[str, Head] = {}
        self.folds: list[Span] = []
        self.settled: list[Ticket] = []

    @property
    def empty(self) -> bool:
        return not (self.appends or self.settled)

    def forget(self, session_ids: set[str], error: StorageError) -> None:
        """Leave out what followed on something that was not stored."""
        for one in self.appends:
            if one.session_id in session_ids:
                settle(one.ticket, error)
        self.appends = [one for one in self.appends if one.session_id not in session_ids]
        self.folds = [fold for fold in self.folds if fold[0] not in session_ids]
        for session_id in session_ids:
            self.heads.pop(session_id, None)


class Subscriber(Protocol):
    """Who hears what became of appends, on the loop."""

    def published(self, append: Append) -> None:
        """It was committed. Called in order."""
        ...

    def discarded(self, session_ids: set[str], error: StorageError) -> None:
        """What was appended to these sessions since their last commit is not stored."""
        ...

    async def repaired(self) -> None:
        """The keeper takes commits again."""
        ...


class Log:
    """Group commit over a keeper, for one subscriber. Made and used inside one running event loop.

    What is stored is read from `keeper`, which the log closes with itself.

    `broken` says why nothing can be written, while that is so: appends then fail at once,
    reads go on where they can, and the keeper is probed until it takes commits again.

    With `early_tokens` tokens are published at once and committed within 250 ms, so the
    death of the process can take some back: after it the runs' sessions get a new epoch.
    """

    def __init__(self, keeper: Keeper, *, early_tokens: bool = False) -> None:
        self.keeper = keeper
        self.early_tokens = early_tokens
        self._unpublished: Counter[str] = Counter()  # appends of a session that wait
        self.broken: StorageError | None = None
        self._pending = _Pending()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._pace = Pace()
        self._brisk_until = 0.0
        self.count = LogCount()
        self._closing = False
        self._prober: asyncio.Task[None] | None = None
        self._subscriber: Subscriber
        self._task: asyncio.Task[None] | None = None

    def start(self, subscriber: Subscriber) -> None:
        """From now on what is appended is committed."""
        self._subscriber = subscriber
        self._task = asyncio.create_task(self._run(), name="log")

    def append(
        self,
        session_id: str,
        epoch: int,
        events: list[Event],
        *,
        head: Head | None = None,
        fold: int | None = None,
    ) -> Ticket:
        """Hand over events of one session; the ticket is done once they are committed and
        published. It raises `StorageError` when that failed, or the session was deleted.

        `head`: the session's head, with whatever changes it. Tokens do not; nothing but
        tokens comes without one.
        `fold`: the first `seq` of a run that these events end.
        """
        pending = self._pending
        ticket: Ticket = self._loop.create_future()
        try:
            payloads = [to_json(event) for event in events]
        except (ValueError, TypeError, RecursionError) as error:
            logger.exception("an event cannot be written", extra={"session_id": session_id})
            refusal = StorageError(f"it cannot be written: {error}")
            self._subscriber.discarded(
                {session_id}, refusal
            )  # the fault of one session fails that alone
            settle(ticket, refusal)
            return ticket
        one = _Waiting(session_id, epoch, events, payloads, head is None, head, ticket=ticket)
        pending.appends.append(one)
        if head:
            pending.heads[session_id] = head
            self._brisk_until = monotonic() + BRISK_S
        if fold:
            pending.folds.append((session_id, fold))
        if self.early_tokens:
            if not head and not self._unpublished[session_id]:
                self._publish_early(one)
                return ticket
            self._unpublished[session_id] += 1
        self._wake.set()
        return ticket

    def _publish_early(self, one: _Waiting) -> None:
        """Show tokens at once, where nothing of their session is still to be shown."""
        one.published = True
        self._show(one)
        settle(one.ticket)
        if self._alarm is None:
            self._alarm = self._loop.call_later(EARLY_S, self._wake.set)

    @property
    def takes(self) -> bool:
        """Whether anything new can be stored."""
        return not (self.broken or self.keeper.away)

    @property
    def pending(self) -> int:
        """Appends that wait for a commit."""
        return len(self._pending.appends)

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
                gone = await self.keeper.commit(batch.appends, batch.heads.values())
            except Exception as error:
                self._break(batch, error)
                continue
            for session_id, why in gone.items():
                self._pending.forget({session_id}, why)
                self._subscriber.discarded({session_id}, why)
            events = 0
            for one in batch.appends:
                events += len(one.events)
                if one.session_id in gone:
                    settle(one.ticket, gone[one.session_id])
                elif not one.published:
                    self._show(one)
                    settle(one.ticket)
            self._forget_unpublished(batch)
            for ticket in batch.settled:
                settle(ticket)
            self.keeper.tend(events, batch.folds)
            self.count.events += events
            self.count.commit_s.observe(monotonic() - begun)
            await self._rest(events)

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
            self._unpublished.subtract(p.session_id for p in batch.appends if not p.published)
            self._unpublished = +self._unpublished  # forgets those at zero

    def _show(self, one: _Waiting) -> None:
        try:
            self._subscriber.published(one)
        except Exception:  # the log outlives whoever listens
            logger.exception("publishing failed", extra={"session_id": one.session_id})

    def _break(self, batch: _Pending, error: Exception) -> None:
        """Take nothing more until something can be written again."""
        self.count.failures += 1
        logger.error("commit failed; refusing new events until one succeeds: %s", error)
        self.broken = error if isinstance(error, StorageError) else StorageError(str(error))
        self._fail(batch, self.broken)
        self._prober = asyncio.create_task(self._probe(), name="log probe")

    def _fail(self, batch: _Pending, error: StorageError) -> None:
        self._forget_unpublished(batch)
        if sessions := {one.session_id for one in batch.appends}:
            self._subscriber.discarded(sessions, error)
        for ticket in (*(one.ticket for one in batch.appends), *batch.settled):
            settle(ticket, error)

    async def _probe(self) -> None:
        while self.broken:
            await asyncio.sleep(PROBE_S)
            try:
                await self.keeper.probe()
            except StorageError:
                continue
            self.broken = None
            logger.warning("commits succeed again")
            await self._subscriber.repaired()

    async def close(self) -> None:
        """Commit what is pending, then close the keeper."""
        self._closing = True
        if self._prober:
            self._prober.cancel()
        self._wake.set()
        if self._task:
            await self._task
        try:
            if self.early_tokens and not self.broken:
                await self.keeper.showing_early(False)
        finally:
            await self.keeper.close()


def settle(ticket: Ticket, error: StorageError | None = None) -> None:
    """Tell whoever waits; nobody may, any more."""
    if ticket.done():
        return
    if error is None:
        ticket.set_result(None)
    else:
        ticket.set_exception(error)
        ticket.exception()

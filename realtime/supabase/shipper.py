"""The shipper: carries what the journal commits to Supabase, beside everything else.

Nothing waits for it. It reads on from a cursor that the journal keeps, so a crash, an
outage or a lost answer costs a repetition, which changes nothing in the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..core.rows import Batch, Refused
from ..package import NAME
from .batches import fitting
from .client import Supabase
from .delivery import Delivery
from .errors import SupabaseError
from .leases import Leases
from .shipped import Lost

logger = logging.getLogger(__name__)

MAX_EVENTS = 500
MAX_BYTES = 1_000_000
"""Bounds of one batch; a batch at a bound is full, and the next one follows at once."""

FEWEST_EVENTS = 25
"""A batch that was too slow is halved, but not below this."""

PAUSE_S = 0.25
"""From one batch to the next while there is no backlog: at most 4 requests a second."""

FIRST_RETRY_S, LAST_RETRY_S, PERMANENT_RETRY_S = 0.5, 10.0, 30.0
"""Trouble is retried after the first, doubling up to the second, less a random part; up to the
third where it is permanent and waits for a person."""

PATIENCE = 4
"""After so many failures in a row the cause is looked for in the rows."""


class Source(Protocol):
    """Where the rows come from: the journal. `news` is set whenever there may be some."""

    news: asyncio.Event

    async def unshipped(self, limit: int) -> Batch:
        """At most `limit` events beyond the cursor, in the order of `EventRow.id`, and the
        heads of their sessions. An empty batch where there are none."""

    async def shipped(self, batch: Batch) -> None:
        """Put the cursor behind a batch."""

    async def refused(self, rows: Sequence[Refused]) -> None:
        """Keep rows in quarantine that the database does not take."""


@dataclass(frozen=True)
class ShipperState:
    """For `/readyz`. `backlog_age_s`: how long the oldest row that is known to wait has
    existed; 0 when none waits. `refused`: rows that the database did not take."""

    status: Literal["ok", "degraded"]
    last_error: str | None
    backlog_age_s: float
    refused: int


class Shipper:
    """Ships from a source to a project until it is stopped. Raises nothing, ever.

    The cursor passes a row that the database does not take; it is in quarantine then.
    `on_lost` hears of each session that this worker may write no more, before the cursor
    passes its rows.
    """

    def __init__(
        self,
        source: Source,
        supabase: Supabase,
        leases: Leases,
        *,
        on_lost: Callable[[Lost], Awaitable[None]],
        pause_s: float = PAUSE_S,
        retry_s: tuple[float, float, float] = (FIRST_RETRY_S, LAST_RETRY_S, PERMANENT_RETRY_S),
    ) -> None:
        self._source = source
        self._supabase = supabase
        self._delivery = Delivery(supabase, leases)
        self._leases = leases
        self._on_lost = on_lost
        self._pause_s = pause_s
        self._first_retry_s, self._last_retry_s, self._permanent_retry_s = retry_s
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._limit = MAX_EVENTS
        self._failures = 0
        self._error: SupabaseError | None = None
        self._told: set[str] = set()
        self._oldest: int | None = None
        self._refused = 0

    @property
    def state(self) -> ShipperState:
        age = 0.0 if self._oldest is None else max(0.0, time.time() - self._oldest / 1000)
        if self._error is None:
            return ShipperState("ok", None, age, self._refused)
        return ShipperState("degraded", str(self._error), age, self._refused)

    def start(self) -> None:
        """Begin with whatever waits from an earlier life. Needs a running loop."""
        if self._task is None:
            self._source.news.set()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="shipper")

    async def stop(self, timeout_s: float = 5) -> bool:
        """Ship what is left, for at most `timeout_s`, let go of every session, and end. True
        if nothing is left."""
        task, self._task = self._task, None
        if task is None:
            return True
        self._stopping.set()
        self._source.news.set()
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        while not task.done():  # up to Python 3.11 wait_for may swallow a cancellation
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)
        flushed = bool(done) and self._error is None
        if not flushed:
            logger.warning(
                "Supabase has not received everything; shipping resumes at the next start"
            )
        return flushed

    # ----------------------------------------------------------------- the loop

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._source.news.wait(), self._leases.renew_s)
            self._source.news.clear()
            stopping = self._stopping.is_set()
            delay = 0.0
            try:
                sent = await self._ship_one()
            except Exception as error:
                delay = self._failed(error)
                if stopping and self._error and self._error.permanent:
                    return
                if stopping:
                    delay = min(delay, self._first_retry_s)
                self._source.news.set()
            else:
                self._recovered()
                if sent == "all" and not stopping:
                    delay = self._pause_s
                elif sent != "nothing":
                    self._source.news.set()
                elif stopping:
                    await self._leave()
                    return
            if stopping:
                await asyncio.sleep(delay)
            elif delay:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay)

    async def _ship_one(self) -> Literal["nothing", "all", "some"]:
        """Ship one batch: all that was there, or some of it."""
        read = await self._source.unshipped(self._limit)
        batch = fitting(read, MAX_BYTES)
        named = [head.row.session_id for head in batch.sessions]
        released = self._leases.letting_go(named, complete=batch is read and read.complete)
        if not batch and not released and not self._leases.due():
            self._oldest = None
            return "nothing"
        self._oldest = min((event.created_at for event in batch.events), default=None)
        well = False
        try:
            answer = await self._delivery.ship(batch, released, lasts=self._failures >= PATIENCE)
            well = True
        finally:
            self._leases.answered(well=well)
        for lost in answer.lost:
            self._leases.lost(lost.session_id)
            await self._on_lost(lost)
        if answer.refused:
            await self._source.refused(answer.refused)
            for row in answer.refused:
                self._report(row)
        if batch:
            await self._source.shipped(batch)
        self._oldest = None
        self._limit = min(MAX_EVENTS, self._limit * 2)
        return "all" if batch is read and read.complete else "some"

    async def _leave(self) -> None:
        if self._leases.shared:
            return  # the others write on
        try:
            await self._supabase.leave(self._leases.worker)
        except SupabaseError as error:
            logger.warning("sessions of this server stay leased until the lease expires: %s", error)

    # ------------------------------------------------------------- what happened

    def _failed(self, error: Exception) -> float:
        """Note it, tell the operator what is new, and say how long to wait (s)."""
        if not isinstance(error, SupabaseError):
            logger.error("the shipper failed", exc_info=error)
            error = SupabaseError("internal", f"Shipping failed: {error!r}.", "See the log.")
        self._error = error
        self._leases.away = True
        self._failures += 1
        if error.kind == "unavailable":
            self._limit = max(min(self._limit, FEWEST_EVENTS), self._limit // 2)
        if error.kind not in self._told:
            self._told.add(error.kind)
            logger.error("%s Conversations continue; the journal keeps them.", error)
        last = self._permanent_retry_s if error.permanent else self._last_retry_s
        delay = min(last, self._first_retry_s * 2.0 ** min(self._failures - 1, 10))
        return delay * random.uniform(0.5, 1)  # noqa: S311 - spreads the workers

    def _recovered(self) -> None:
        if self._error is not None:
            logger.info("Supabase is accepting data again")
        self._error = None
        self._leases.away = False
        self._failures = 0
        self._told.clear()

    def _report(self, row: Refused) -> None:
        self._refused += 1
        logger.error(
            "Supabase does not take a row, which is in quarantine (python -m %s "
            "quarantine list): session %s, epoch %s, %s: %s %s",
            NAME,
            row.session_id,
            row.epoch,
            "its head" if row.seq is None else f"seq {row.seq}",
            row.code,
            row.message,
        )

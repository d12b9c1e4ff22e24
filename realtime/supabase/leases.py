"""Leases: which sessions this worker, and nobody else, may write.

A worker is alive while Supabase hears of it; each batch says so, and where there is
nothing to ship an empty one does. While it is alive the sessions that it began or took
are its own. It lets go of one that it no longer holds in memory, once all of it is
shipped, and of all when it ends. What it loses it hears with its next batch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from ..core.rows import Batch, Head, HeldElsewhere, Taken
from .client import Supabase
from .errors import SupabaseError
from .shipped import Lost

LEASE_S = 40.0
"""How long a worker that is no longer heard of keeps what it holds."""

SWEEP_S = 60.0
SWEPT_AT_ONCE = 100

RESUME_S = 5.0
TAKE_S = 2.0
"""How long a session that is in the journal waits for Supabase to say whose it is."""

logger = logging.getLogger(__name__)


class Leases:
    """What one worker holds. `worker`: the identity of its journal; `shared`: others have it too,
    since they share one log."""

    def __init__(self, supabase: Supabase, worker: str, *, shared: bool = False) -> None:
        self.worker = worker
        self.shared = shared
        self.lease_s = LEASE_S
        self.away = False
        """Supabase does not answer just now."""
        self._supabase = supabase
        self._held: set[str] = set()
        self._left: set[str] = set()
        self._letting_go: set[str] = set()
        self._let_go = asyncio.Event()
        self._renewed = float("-inf")

    def holds(self, session_id: str) -> bool:
        return session_id in self._held

    def began(self, session_id: str) -> None:
        self._held.add(session_id)

    def left(self, session_id: str) -> None:
        self._held.discard(session_id)
        self._left.add(session_id)

    async def delete(self, session_ids: list[str]) -> None:
        """As `Archive.delete`."""
        await self._supabase.delete(session_ids)
        for session_id in session_ids:
            self.lost(session_id)

    async def take(self, session_id: str, epoch: int | None) -> Taken | None:
        """As `Archive.take`. Where Supabase is away, what the journal has is held on trust:
        an outage is no reason to be silent, and fencing tells later."""
        while session_id in self._letting_go:
            await self._let_go.wait()
        self._left.discard(session_id)
        try:
            if epoch is None:
                taken = await self._supabase.take(session_id, self.worker, self.lease_s)
            elif self.away:
                raise SupabaseError("unavailable", "Supabase is unavailable.", "")
            else:
                async with asyncio.timeout(TAKE_S):
                    taken = await self._supabase.take(session_id, self.worker, self.lease_s, epoch)
        except HeldElsewhere:
            raise
        except (SupabaseError, TimeoutError) as error:
            if epoch is not None:
                self._held.add(session_id)
            raise SupabaseError(
                "unavailable", f"It is unknown which server holds the session: {error}", ""
            ) from error
        if epoch is not None or (taken and taken.head):
            self._held.add(session_id)
        return taken

    async def resume(self, heads: Sequence[Head]) -> list[Lost]:
        """After a start: hold what the journal has open, and hear what was lost meanwhile."""
        self._held |= {head.row.session_id for head in heads}
        lost: list[Lost] = []
        try:
            async with asyncio.timeout(RESUME_S):
                for first in range(0, len(heads), SWEPT_AT_ONCE):
                    batch = Batch(list(heads[first : first + SWEPT_AT_ONCE]), [], 0)
                    lost += (await self._supabase.ship(batch, self.worker, self.lease_s)).lost
        except (SupabaseError, TimeoutError) as error:
            logger.warning("sessions continue without a lease check: %r", error)
        for one in lost:
            self.lost(one.session_id)
        return lost

    # ------------------------------------------------------------- with each batch

    def due(self) -> bool:
        """Whether Supabase must hear of this worker, even with nothing to tell."""
        return time.monotonic() - self._renewed >= self.renew_s

    @property
    def renew_s(self) -> float:
        return self.lease_s / 4

    def letting_go(self, shipped: Iterable[str], *, complete: bool) -> list[str]:
        """What to let go of with a batch of these sessions. `complete`: no rows remain."""
        self._left |= {session_id for session_id in shipped if session_id not in self._held}
        if complete:
            self._letting_go, self._left = self._left, set()
        return list(self._letting_go)

    def answered(self, *, well: bool) -> None:
        """The batch was taken, or was not."""
        if well:
            self._renewed = time.monotonic()
        else:
            self._left |= self._letting_go - self._held
        self._letting_go = set()
        self._let_go.set()
        self._let_go.clear()

    def lost(self, session_id: str) -> None:
        self._held.discard(session_id)
        self._left.discard(session_id)


async def sweep(
    leases: Leases, supabase: Supabase, finish: Callable[[str], Awaitable[None]]
) -> None:
    """Now and again see to what workers left behind that are no longer, until cancelled."""
    await asyncio.sleep(leases.lease_s)
    while True:
        found: list[str] = []
        try:
            found = await supabase.abandoned(leases.worker, leases.lease_s, SWEPT_AT_ONCE)
        except SupabaseError as error:
            logger.debug("looking for abandoned sessions failed: %s", error)
        for session_id in found:
            await finish(session_id)
        if found:
            logger.info("took over %d sessions from a dead worker", len(found))
        await asyncio.sleep(SWEEP_S if len(found) < SWEPT_AT_ONCE else 1)

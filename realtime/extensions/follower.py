"""Gives what happens to somebody outside: after the commit, at least once, and in order.

The keeper of the log remembers how far each follower is in each session, so a crash loses nothing.
A session whose next event is not taken waits, longer each time, and holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable

import msgspec

from ..core.rows import SessionRow, StorageError
from ..log.keeper import Keeper
from ..protocol import EVENT_NAMES, Event

AT_ONCE = 8
"""Sessions whose events are given at the same time."""

LOOK_S, TROUBLE_S = 0.1, 5.0
"""From one look for news to the next; where the journal cannot be read."""

STOP_S = 2.0
"""How long the end of the server waits for what has just happened to be taken."""

logger = logging.getLogger(__name__)

Give = Callable[[Event, SessionRow], Awaitable[None]]
"""Raises where the event was not taken."""


class Pauses(msgspec.Struct, frozen=True):
    """Seconds: before the first retry, doubled for each further one up to the last. `give_up_s`:
    how old an event may be that is tried again; None: any age."""

    first_s: float = 1.0
    last_s: float = 300.0
    give_up_s: float | None = None

    def after(self, failures: int) -> float:
        pause = min(self.last_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return pause * random.uniform(0.75, 1.25)  # noqa: S311 - spreads the sessions


class Stuck(msgspec.Struct):
    """A session whose next event was not taken. `since`: when that happened, ms."""

    since: int
    failures: int = 0
    why: str = ""


class Follower:
    """One that follows the log under a name. `give` is awaited for every event that it `wants`, one
    after the other in each session. It is never given tokens. What is counted is counted since the
    start."""

    def __init__(
        self,
        keeper: Keeper,
        name: str,
        give: Give,
        pauses: Pauses | None = None,
        wants: Callable[[Event], bool] = lambda event: True,
    ) -> None:
        self.name = name
        self.taken = self.failures = self.dropped = 0
        self._keeper = keeper
        self._give = give
        self._wants = wants
        self._pauses = pauses or Pauses()
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._claimed: set[str] = set()  # ready, or being given
        self._again: set[str] = set()  # of these, in which more has happened
        self._idle = asyncio.Event()  # none is claimed
        self._idle.set()
        self._stuck: dict[str, Stuck] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Sessions with events that were not taken yet."""
        return len(self._claimed | self._stuck.keys())

    @property
    def behind_s(self) -> float:
        """The age of the oldest event that was not taken when it was given; 0: there is none."""
        oldest = min((stuck.since for stuck in self._stuck.values()), default=None)
        return 0.0 if oldest is None else max(0.0, time.time() - oldest / 1000)

    @property
    def last_error(self) -> str | None:
        """Why the newest of these was not taken."""
        return list(self._stuck.values())[-1].why if self._stuck else None

    def start(self, news: asyncio.Event) -> None:
        """`news`: of this follower, from the keeper."""
        news.set()
        self._tasks = [
            asyncio.create_task(self._listen(news), name=f"news for {self.name}"),
            *(
                asyncio.create_task(self._work(), name=f"events for {self.name} {number}")
                for number in range(AT_ONCE)
            ),
        ]

    async def stop(self) -> None:
        """Give what has just happened; what is not taken by then is given at the next start."""
        if not self._tasks:
            return
        with contextlib.suppress(TimeoutError, StorageError):
            async with asyncio.timeout(STOP_S):
                await self._look()
                await self._idle.wait()
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, news: asyncio.Event) -> None:
        while True:
            await news.wait()
            news.clear()
            pause = LOOK_S
            try:
                await self._look()
            except StorageError as error:
                logger.warning("%s is not told of news yet: %s", self.name, error)
                news.set()
                pause = TROUBLE_S
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        for session_id in await self._keeper.changed(self.name):
            self._wake(session_id)

    def _wake(self, session_id: str) -> None:
        if session_id in self._timers:
            return
        if session_id in self._claimed:
            self._again.add(session_id)
        else:
            self._claimed.add(session_id)
            self._idle.clear()
            self._ready.put_nowait(session_id)

    async def _work(self) -> None:
        while True:
            session_id = await self._ready.get()
            try:
                await self._serve(session_id)
            except Exception as error:
                self._retry(session_id, error)
            else:
                self._stuck.pop(session_id, None)
            self._claimed.discard(session_id)
            if session_id in self._again:
                self._again.discard(session_id)
                self._wake(session_id)
            if not self._claimed:
                self._idle.set()

    async def _serve(self, session_id: str) -> None:
        """Give all events of a session that were not taken yet."""
        while events := await self._keeper.unseen(self.name, session_id):
            row = await self._keeper.row(session_id)
            if row is None:  # it was deleted
                return
            last = 0
            try:
                for event in events:
                    if self._wants(event):
                        await self._give_one(event, row)
                    last = event.seq
            finally:
                if last:
                    await self._keeper.seen(self.name, session_id, last)

    async def _give_one(self, event: Event, row: SessionRow) -> None:
        """Raises what `give` raises, unless the event is so old that it is given up."""
        try:
            await self._give(event, row)
        except Exception as error:
            self.failures += 1
            limit = self._pauses.give_up_s
            if limit is None or time.time() - event.ts / 1000 < limit:
                stuck = self._stuck.get(row.session_id)
                if stuck is None or stuck.since != event.ts:
                    self._stuck[row.session_id] = Stuck(event.ts)
                raise
            self.dropped += 1
            logger.error(
                "%s never took %s (seq %d), which is given up: %s",
                *(self.name, EVENT_NAMES[type(event)], event.seq, said_by(error)),
                extra={"session_id": row.session_id, "run_id": event.run_id},
            )
        else:
            self.taken += 1

    def _retry(self, session_id: str, error: Exception) -> None:
        stuck = self._stuck.setdefault(session_id, Stuck(round(time.time() * 1000)))
        stuck.failures += 1
        stuck.why = said_by(error)
        pause = self._pauses.after(stuck.failures)
        logger.warning(
            "%s did not take an event (attempt %d); again in %.0f s: %s",
            *(self.name, stuck.failures, pause, stuck.why),
            extra={"session_id": session_id},
        )

        def due() -> None:
            del self._timers[session_id]
            self._wake(session_id)

        self._timers[session_id] = asyncio.get_running_loop().call_later(pause, due)


def said_by(error: Exception) -> str:
    return str(error) or type(error).__name__

"""What a worker does beside its commits: it says that it lives, joins rows, and looks for what
others left."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

import msgspec

from ...core.fold import first_seq, merge
from ...core.rows import Deleted, StorageError
from ...protocol import Event
from ..keeper import Span
from .holding import Holding
from .line import Line
from .pulse import LOOK_S, NOTICED_S, HotCount, Pulse
from .records import decode_row, encode_state, row_of
from .scripts import Script

RENEW_S = 1.5
JOIN_S = 0.5
"""Tokens are joined, and so may be shipped, once they are as old."""
SWEEP_S = 0.5
SWEPT = 50  # sessions at once
JOINED = 50
CONFIRMED = 100

logger = logging.getLogger(__name__)

_renew, _sweep, _goodbye = Script("renew"), Script("sweep"), Script("goodbye")
_join, _confirm, _restore = Script("join"), Script("confirm"), Script("restore")
_pack = msgspec.msgpack.Encoder().encode


class Chores:
    """`held`: the sessions that this worker writes. `ended`: runs that have ended, whose rows are
    still to be joined."""

    def __init__(
        self,
        line: Line,
        prefix: str,
        worker: str,
        held: MutableMapping[str, Holding],
        news: asyncio.Event,
        left: asyncio.Queue[str],
        pulse: Pulse,
        count: HotCount,
        *,
        lease_ms: int,
        grace_ms: int,
    ) -> None:
        self.ended: list[Span] = []
        self._line = line
        self._prefix = prefix
        self._worker = worker
        self._held = held
        self._news = news
        self._left = left
        self._pulse = pulse
        self._count = count
        self._lease_ms = lease_ms
        self._grace_ms = grace_ms
        self.sweeping = True
        self._known: tuple[bytes, str] | None = None  # since when, and by which engine
        self._tasks: list[asyncio.Task[None]] = []
        self.on_lost: Callable[[Mapping[str, StorageError]], None] = lambda lost: None
        self.on_return: Callable[[], None] = lambda: None

    async def start(self) -> None:
        await self.lives()
        await self._pulse.look()
        self._tasks = [
            asyncio.create_task(_ever(work, pause_s), name=name)
            for name, work, pause_s in (
                ("lease", self.lives, RENEW_S),
                ("join rows", self._tidy, JOIN_S),
                ("sweep", self._look, SWEEP_S),
                ("pulse", self._pulse.look, LOOK_S),
                ("notice", self._notice, NOTICED_S),
            )
        ]

    async def close(self) -> None:
        """Leave what this worker has to the others, if it is one."""
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self.join([*self._held])
            await self._run(_goodbye, self._grace_ms)
        except StorageError as error:
            logger.warning("other workers wait for the lease of this one to end: %s", error)

    async def lives(self) -> None:
        """Renew the lease. Where that was over, or the engine began anew, look whether it still
        has what this worker writes."""
        run_id = self._line.run_id
        (since,) = await self._run(_renew, run_id, self._lease_ms)
        known, self._known = self._known, (since, run_id)
        if known and known != self._known:
            try:
                await self._confirm()
            except StorageError:
                self._known = known
                raise
            self.on_return()

    async def _confirm(self) -> None:
        """Put back what the engine has lost."""
        ids = [*self._held]
        for start in range(0, len(ids), CONFIRMED):
            some = ids[start : start + CONFIRMED]
            asked: list[str | int] = []
            for session_id in some:
                held = self._held[session_id]
                asked += (session_id, held.fence, held.stored)
            answer = await self._run(_confirm, self._line.run_id, *asked)
            lost = {}
            for place, why in zip(answer[::2], answer[1::2], strict=True):
                if reason := await self.restore(some[place], why):
                    lost[some[place]] = reason
            if lost:
                self.on_lost(lost)

    async def restore(self, session_id: str, why: bytes) -> StorageError | None:
        """Put a session back that the engine has less of than this worker. Why that cannot be."""
        held = self._held.get(session_id)
        if why == b"less" and held and held.state and held.whole:
            row, state = held.state.row, encode_state(held.state)
            flat: list[int | bytes] = []
            for _, seq, data in held.rows:
                flat += (seq, data)
            (why,) = await self._run(
                *(_restore, self._line.run_id, session_id, held.fence, held.epoch, held.head),
                *(held.joined, state, held.revision, row.user_id, row.start_time),
                *(row.end_time or 0, int(held.state.unfinished), *flat),
            )
            if not why:
                self._count.resent += held.head
                logger.warning("the engine had lost events", extra={"session_id": session_id})
                return None
        self._held.pop(session_id, None)
        if why == b"deleted":
            return Deleted()
        if held:  # else that was found before
            self._count.fenced += 1
            logger.info("another worker writes it now", extra={"session_id": session_id})
        return StorageError("another worker writes it now")

    async def _look(self) -> None:
        if not self.sweeping:
            return
        found = await self._run(_sweep, self._lease_ms, SWEPT, self._grace_ms)
        for session_id in found:
            self._left.put_nowait(session_id.decode())

    async def _notice(self) -> None:
        self._pulse.tell()

    async def _tidy(self) -> None:
        old = time.monotonic() - JOIN_S
        waiting = [one for one, held in self._held.items() if held.unjoined and held.since < old]
        await self.join(waiting)
        while self.ended:
            await self._fold(*self.ended[0])
            del self.ended[0]

    async def join(self, session_ids: Iterable[str]) -> None:
        """Join the rows that came since the last time, of these sessions."""
        ids = list(session_ids)
        for start in range(0, len(ids), JOINED):
            index: list[object] = []
            data: list[bytes] = []
            taken: list[tuple[Holding, list[Event]]] = []
            for session_id in ids[start : start + JOINED]:
                held = self._held.get(session_id)
                if held and held.unjoined:
                    events, held.unjoined = held.unjoined, []
                    taken.append((held, events))
                    index += _joined(session_id, held, events, data)
            if not taken:
                continue
            try:
                await self._run(_join, _pack(index), b"".join(data))
            except StorageError:
                for held, events in taken:
                    held.unjoined[:0] = events
                raise
            self._news.set()

    async def _fold(self, session_id: str, first: int) -> None:
        """Join all rows of a session from `first` on, where a run begins that has ended."""
        await self.join([session_id])
        held = self._held.get(session_id)
        if held is None:
            return
        events = [decode_row(row).event() for row in held.between(first, held.joined)]
        if events:
            data: list[bytes] = []
            index = _joined(session_id, held, events, data)
            await self._run(_join, _pack(index), b"".join(data))
            self._news.set()

    async def _run(self, script: Script, *args: bytes | str | int) -> list[Any]:
        found: list[Any] = await script(self._line, self._prefix, self._worker, *args)
        return found


def _joined(
    session_id: str, held: Holding, events: list[Event], data: list[bytes]
) -> tuple[str, int, int, list[int]]:
    """What the script is told of a session whose rows these are; the joined ones go to `data`."""
    known = {(first_seq(event), event.seq) for event in events}
    flat: list[int] = []
    for event in merge(events):
        first = first_seq(event)
        if (first, event.seq) not in known:
            row = row_of(event, held.epoch)
            flat += (event.seq, first, len(row))
            data.append(row)
            held.join(first, event.seq, row)
    return session_id, held.fence, events[-1].seq, flat


async def _ever(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    """Again and again; what fails is tried the next time."""
    while True:
        await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads the workers
        try:
            await work()
        except StorageError as error:
            logger.debug("the engine is away: %s", error)
        except Exception:
            logger.exception("looking after the hot log failed")

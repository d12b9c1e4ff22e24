"""The newest committed events of one live session, and what a reader of it has missed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import msgspec

from ..core.fold import first_seq, fitting, fold, merge
from ..core.rows import StorageError
from ..core.shown import Shown
from ..log.log import Log, Ticket, settle
from ..protocol import Event, SiblingCount

FRESH_EVENTS = 16  # as they came; then tokens are joined: many small objects fall out of caches
TAIL_EVENTS = 64  # 20 seconds of a fast answer; a longer gap is read from the journal
WHOLE = 2**62


class Page(msgspec.Struct):
    """Events up to and with `seq`; `next_before_seq`: older ones are in the history."""

    events: list[Event]
    seq: int
    next_before_seq: int | None = None
    siblings: dict[str, list[str]] = {}
    sibling_counts: dict[str, SiblingCount] = {}


class Tail:
    """A ring over the log's end, older tokens joined. `committed` is the last event that any
    device may see."""

    def __init__(self, log: Log, session_id: str, committed: int) -> None:
        self.committed = committed
        self._log = log
        self._session_id = session_id
        self._ring: deque[Event] = deque(maxlen=TAIL_EVENTS)
        self._fresh: list[Event] = []  # behind the ring
        self._awaited: list[tuple[int, Ticket]] = []

    def extend(self, events: Sequence[Event]) -> None:
        self._fresh += events
        if len(self._fresh) >= FRESH_EVENTS:
            self._ring += merge(self._fresh)
            self._fresh.clear()
        if events:
            self.committed = events[-1].seq
        if self._awaited:
            due = [ticket for seq, ticket in self._awaited if seq <= self.committed]
            self._awaited = [item for item in self._awaited if item[0] > self.committed]
            for ticket in due:
                settle(ticket)

    def reached(self, seq: int) -> Ticket:
        """Done once `committed` is there; raises what the tail was closed with before."""
        ticket: Ticket = asyncio.get_running_loop().create_future()
        if seq <= self.committed:
            settle(ticket)
        else:
            self._awaited.append((seq, ticket))
        return ticket

    def close(self, error: StorageError) -> None:
        """Nothing more is committed."""
        awaited, self._awaited = self._awaited, []
        for _, ticket in awaited:
            settle(ticket, error)

    def _after(self, seq: int) -> list[Event]:
        """What ends behind `seq`; the first may begin before it."""
        return [event for event in (*self._ring, *self._fresh) if event.seq > seq]

    async def missed(self, after: int) -> Page:
        """The events behind `after`, in order, tokens merged, as many as a page holds.

        Where the page reaches `committed`, nothing was awaited since it was made.
        Raises `StorageError`.
        """
        events: list[Event] = []
        if after < self.committed:
            events = merge(self._after(after))
            if not events or first_seq(events[0]) > after + 1:
                events = await self._log.keeper.replay(self._session_id, after)
                last = events[-1].seq if events else after
                newer = self._after(last)
                if newer and first_seq(newer[0]) <= last + 1:
                    events = merge([*events, *newer])
        events = fitting(events)
        return Page(events, events[-1].seq if events else after)

    async def snapshot(self, shown: Shown | None = None) -> Page:
        """The newest folded events, up to `committed`. Raises `StorageError`."""
        while True:
            page = await self.history(None, 200, shown)
            newer = self._after(page.seq)
            if not newer or first_seq(newer[0]) <= page.seq + 1:
                break  # else more was committed during the read than the ring holds
        seq = max((event.seq for event in newer), default=page.seq)
        events = fold([*page.events, *filter(shown, newer)])
        return Page(events, seq, page.next_before_seq)

    async def history(self, before_seq: int | None, limit: int, shown: Shown | None = None) -> Page:
        """The newest `limit` folded events before `before_seq`; `seq` is the last that was read,
        shown or not. Raises `StorageError`."""
        before = WHOLE if before_seq is None else before_seq
        found = await self._log.keeper.page(self._session_id, before, limit, shown)
        return Page(found.events, found.last, found.next_before)

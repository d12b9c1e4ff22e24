"""What a reader gets at once of a long log: bounded pages, forwards and backwards.

Each page is made by a generator that asks for rows and is sent them, so that whoever has them may
read them in a way of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import NamedTuple, TypeVar

from ..core.fold import first_seq, fitting, fold, merge, newest
from ..core.shown import Shown
from ..protocol import MAX_PAGE_BYTES, Event

CHUNK = 2000  # rows read at a time

T = TypeVar("T")
Making = Generator[int, list[Event], T]
"""It yields the `seq` behind which, or before which, it wants the next `CHUNK` rows."""


def replay(after_seq: int) -> Making[list[Event]]:
    """The next page behind `after_seq`, tokens merged. It wants rows that end behind."""
    events: list[Event] = []
    while True:
        rows = yield events[-1].seq if events else after_seq
        events = merge([*events, *rows])
        page = fitting(events)
        if len(rows) < CHUNK or len(page) < len(events):
            return page


class Found(NamedTuple):
    """Folded `events`, the oldest first; where the next page ends, if there is one; the `seq` of
    the last event that was read, shown or not."""

    events: list[Event]
    next_before: int | None
    last: int


def page(before_seq: int, limit: int, shown: Shown | None) -> Making[Found]:
    """The newest events before `before_seq`, of those that are `shown`. It wants rows that begin
    before, the newest of them."""
    events: list[Event] = []
    before, last = before_seq, 0
    while True:
        rows = yield before
        last = last or max((row.seq for row in rows), default=0)
        events = fold([*filter(shown, rows), *events])
        found, next_before = newest(events, limit=limit, max_bytes=MAX_PAGE_BYTES)
        if not rows or next_before is not None:
            return Found(found, next_before, last)
        before = first_seq(rows[0])


def made(making: Making[T], read: Callable[[int], list[Event]]) -> T:
    """The page, from rows that are read at once."""
    try:
        wanted = next(making)
        while True:
            wanted = making.send(read(wanted))
    except StopIteration as done:
        found: T = done.value
        return found


async def awaited(making: Making[T], read: Callable[[int], Awaitable[list[Event]]]) -> T:
    """The same, from rows that are awaited."""
    try:
        wanted = next(making)
        while True:
            wanted = making.send(await read(wanted))
    except StopIteration as done:
        found: T = done.value
        return found

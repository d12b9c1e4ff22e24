"""What a reader gets at once of a long log: bounded pages, forwards and backwards.

Each page is made by a generator that asks for rows and is sent them, so that whoever has them may
read them in a way of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

from ..core.fold import first_seq, fitting, fold, merge, newest
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


def page(before_seq: int, limit: int) -> Making[tuple[list[Event], int | None]]:
    """The newest folded events before `before_seq`, and where the next page ends. It wants rows
    that begin before, the newest of them."""
    events: list[Event] = []
    before = before_seq
    while True:
        rows = yield before
        events = fold([*rows, *events])
        found, next_before = newest(events, limit=limit, max_bytes=MAX_PAGE_BYTES)
        if not rows or len(found) < len(events):
            return found, next_before
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

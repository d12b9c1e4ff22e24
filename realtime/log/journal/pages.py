"""What a reader gets at once of a long log: bounded pages, forwards and backwards."""

from __future__ import annotations

from ...core.fold import first_seq, fitting, fold, merge, newest
from ...protocol import MAX_PAGE_BYTES, Event
from .events import Events

CHUNK = 2000  # rows read at a time


def replay(source: Events, session_id: str, after_seq: int) -> list[Event]:
    """The next page behind `after_seq`, tokens merged."""
    events: list[Event] = []
    while True:
        after = events[-1].seq if events else after_seq
        rows = source.after(session_id, after, CHUNK)
        events = merge([*events, *rows])
        page = fitting(events)
        if len(rows) < CHUNK or len(page) < len(events):
            return page


def page(
    source: Events, session_id: str, before_seq: int, limit: int
) -> tuple[list[Event], int | None]:
    """The newest folded events before `before_seq`, and where the next page ends."""
    events: list[Event] = []
    before = before_seq
    with source.reading():
        while True:
            rows = source.before(session_id, before, CHUNK)
            events = fold([*rows, *events])
            found, next_before = newest(events, limit=limit, max_bytes=MAX_PAGE_BYTES)
            if not rows or len(found) < len(events):
                return found, next_before
            before = first_seq(rows[0])

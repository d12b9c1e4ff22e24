"""Batches cut to size, and what their refusal means. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.rows import Batch, EventRow, Head, Refused
from .errors import SupabaseError

NOTHING = Batch([], [], 0)
NOT_NULL_VIOLATION = "23502"


def fitting(batch: Batch, max_bytes: int) -> Batch:
    """The batch itself, or as many of its first events as fit; at least one."""
    size = 0
    for count, event in enumerate(batch.events):
        size += len(event.payload) + len(event.content.encode()) + 300
        size += len(event.provider_state or b"")
        if size > max_bytes and count:
            events = batch.events[:count]
            return Batch(heads_of(batch, events), events, events[-1].id, complete=False)
    return batch


def halves(batch: Batch) -> list[Batch]:
    """Smaller batches that together are this one; none where it is a single row.

    An event never goes without the head of its session, which says whose it is.
    """
    events, heads = batch.events, batch.sessions
    needed = heads_of(batch, events)
    idle = [head for head in heads if head not in needed]
    if events and idle:
        return [part([], idle), part(events, needed)]
    if len(events) > 1:
        middle = len(events) // 2
        parts = events[:middle], events[middle:]
        return [part(half, heads_of(batch, half)) for half in parts]
    if len(heads) > 1:
        middle = len(heads) // 2
        return [part([], heads[:middle]), part([], heads[middle:])]
    return []


def part(events: list[EventRow], heads: list[Head]) -> Batch:
    """Some rows of a batch. The cursor stays where it is until all of it is shipped."""
    return Batch(heads, events, 0)


def heads_of(batch: Batch, events: Sequence[EventRow]) -> list[Head]:
    named = {event.session_id for event in events}
    return [head for head in batch.sessions if head.row.session_id in named]


def as_refused(batch: Batch, error: SupabaseError) -> Refused:
    """The only row of a batch: its event, or the head where there is none."""
    if batch.events:
        event = batch.events[0]
        return Refused(event.session_id, event.epoch, event.seq, error.kind, error.message)
    head = batch.sessions[0].row
    return Refused(head.session_id, head.epoch, None, error.kind, error.message)


def nothing_taken(batch: Batch, refused: Sequence[Refused]) -> bool:
    """Whether every event was refused, of more than one session: then no row is at fault."""
    events = [row.session_id for row in refused if row.seq is not None]
    return len(set(events)) > 1 and len(events) >= len(batch.events)


def table_at_fault(batch: Batch, refused: Sequence[Refused]) -> SupabaseError | None:
    """An error where the tables take nothing, as with a column that somebody added and the
    server cannot fill. One bad row, or one bad session, is not the tables' fault."""
    if not refused:
        return None
    if not nothing_taken(batch, refused) and all(row.code != NOT_NULL_VIOLATION for row in refused):
        return None
    row = refused[0]
    return SupabaseError(
        "refused",
        f"The tables refuse rows ({row.code}: {row.message}).",
        "Undo what was changed in them, or apply the schema again.",
        True,
    )

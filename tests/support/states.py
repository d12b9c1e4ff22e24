"""Provider state for every event that can have one, as if the model had given it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from realtime.core.provider_state import keep_provider_state, provider_state
from realtime.log.log import Log, Ticket
from realtime.protocol import Done, Event, Run, ToolCall

MARK = "for-the-provider-only"


def state_of(event: Event) -> bytes:
    """JSON that no database keeps as it is when it takes it for JSON."""
    odd = r'"b": "\u0000 \ud83d", "a": 1, "a": 1e400, "é🙂": [ ]'
    return f'{{"signature": "{MARK}", "seq": {event.seq}, {odd}}}'.encode()


def fill(events: Iterable[Event]) -> None:
    for event in events:
        if isinstance(event, ToolCall | Done | Run):
            keep_provider_state(event, state_of(event))


def filling(append: Callable[..., Ticket] = Log.append) -> Callable[..., Ticket]:
    """A `Log.append` that fills what it is given."""

    def appended(log: Log, session_id: str, epoch: int, events: list[Event], **more: Any) -> Ticket:
        fill(events)
        return append(log, session_id, epoch, events, **more)

    return appended


def states(events: Iterable[Event]) -> dict[int, bytes]:
    """What there is, by seq."""
    found = {event.seq: provider_state(event) for event in events}
    return {seq: state for seq, state in found.items() if state is not None}


def expected(events: Iterable[Event]) -> dict[int, bytes]:
    """What `fill` gives these events."""
    return {e.seq: state_of(e) for e in events if isinstance(e, ToolCall | Done | Run)}

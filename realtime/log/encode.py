"""An event as a row: its payload for programs, its content for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..core.fold import first_seq
from ..core.provider_state import provider_state
from ..core.rows import Head
from ..protocol import (
    EVENT_NAMES,
    Done,
    Event,
    Feedback,
    SessionEnded,
    SessionStarted,
    SessionUpdated,
    Sources,
    Summary,
    Token,
    ToolCall,
    UserMessage,
    to_json,
)

SHOWN = 200
"""Characters of a call's arguments, and of its output, in the line that shows it."""


def readable(event: Event) -> str:
    """What a person who browses the table wants to see."""
    match event:
        case Token():
            return event.delta
        case UserMessage():
            return event.text
        case Done():
            return event.status if event.text is None else event.text
        case Summary():
            return event.text or event.status
        case ToolCall():
            shown = f"{event.name}({_short(event.arguments)}) {event.status}"
            return shown if event.output is None else f"{shown}: {_short(event.output)}"
        case Sources():
            return " ".join(source.url or source.file_id or "" for source in event.sources)
        case SessionUpdated():
            return event.title or ", ".join(_marks(event))
        case Feedback():
            return f"{event.value or 'none'}: {event.comment or ''}".removesuffix(": ")
        case SessionStarted():
            return f"started by {event.user_id}"
        case SessionEnded():
            return f"ended after {event.duration_seconds:.1f} s"
        case _:
            return str(getattr(event, "status", ""))


def _marks(event: SessionUpdated) -> Iterator[str]:
    for name, value in (("pinned", event.pinned), ("archived", event.archived)):
        if value is not None:
            yield name if value else f"not {name}"


def _short(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else to_json(value).decode()
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


class Append(msgspec.Struct):
    """Events of one session that are written together; `payloads`: each one's JSON; `head`: the
    session's, where it changes."""

    session_id: str
    epoch: int
    events: Sequence[Event]
    payloads: list[bytes]
    only_tokens: bool
    head: Head | None = None


def encoded(session_id: str, epoch: int, events: Sequence[Event]) -> Append:
    """Raises `ValueError`, `TypeError` or `RecursionError` where an event is no JSON."""
    payloads = [to_json(event) for event in events]
    return Append(session_id, epoch, events, payloads, only_tokens(events))


def only_tokens(events: Sequence[Event]) -> bool:
    for event in events:  # noqa: SIM110 - a generator costs several times as much
        if not isinstance(event, Token):
            return False
    return True


def event_values(event: Event, epoch: int, payload: bytes) -> tuple[Any, ...]:
    """The columns of an event's row, in the order of `EventRow`, without the id."""
    return (
        event.session_id,
        epoch,
        event.seq,
        first_seq(event),
        event.run_id,
        EVENT_NAMES[type(event)],
        readable(event),
        payload,
        event.ts,
        provider_state(event),
    )

"""An event as a row: its payload for programs, its content for people."""

from __future__ import annotations

from typing import Any

from realtime.log.fold import first_seq
from realtime.log.rows import EventRow
from realtime.protocol import (
    EVENT_NAMES,
    Done,
    Event,
    SessionEnded,
    SessionStarted,
    Summary,
    Token,
    ToolCall,
    UserMessage,
    to_json,
)


def readable(event: Event) -> str:
    """What a person who browses the table wants to see."""
    match event:
        case UserMessage():
            return event.text
        case Token():
            return event.delta
        case Done():
            return event.status if event.text is None else event.text
        case Summary():
            return event.text or event.status
        case ToolCall():
            shown = f"{event.name}({_short(event.arguments)}) {event.status}"
            return shown if event.output is None else f"{shown}: {_short(event.output)}"
        case SessionStarted():
            return f"started by {event.user_id}"
        case SessionEnded():
            return f"ended after {event.duration_seconds:.1f} s"
        case _:
            return str(getattr(event, "status", ""))


def _short(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else to_json(value).decode()
    return text if len(text) <= 2000 else text[:2000] + "…"


def event_row(event: Event, epoch: int) -> EventRow:
    return EventRow(
        session_id=event.session_id,
        epoch=epoch,
        seq=event.seq,
        first_seq=first_seq(event),
        run_id=event.run_id,
        event_type=EVENT_NAMES[type(event)],
        content=readable(event),
        payload=to_json(event),
        created_at=event.ts,
    )

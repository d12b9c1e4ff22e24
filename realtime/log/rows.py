"""The rows of the log: what the journal stores and what Supabase receives."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SummaryStatus = Literal["none", "pending", "done", "failed"]


class StorageError(Exception):
    """A store cannot be read or written; the message says what is wrong."""


class SessionRow(msgspec.Struct, kw_only=True):
    """The head of one session. Times are ms since the Unix epoch."""

    session_id: str
    user_id: str
    epoch: int = 1
    start_time: int
    end_time: int | None = None
    duration_seconds: float | None = None
    summary: str | None = None
    summary_status: SummaryStatus = "none"


class EventRow(msgspec.Struct, kw_only=True):
    """One event, or several neighbouring `token`s folded into one (`first_seq..seq`).

    `content` is for a person who browses the table; `payload` is the event as JSON.
    `id` is the journal's own order over all sessions.
    """

    id: int = 0
    session_id: str
    epoch: int
    seq: int
    first_seq: int
    run_id: str | None
    event_type: str
    content: str
    payload: bytes
    created_at: int


class Batch(msgspec.Struct):
    """What was written since the last batch: rows in order, the heads of their sessions,
    and the cursor to acknowledge."""

    sessions: list[SessionRow]
    events: list[EventRow]
    cursor: int

    def __bool__(self) -> bool:
        return bool(self.sessions or self.events)


def builtins(row: SessionRow | EventRow) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(row, builtin_types=(bytes,))
    return data

"""What an operator does to stored sessions: list, show, export, delete."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from ..core.fold import fold
from ..core.rows import SessionRow
from ..log.store import Store
from ..models.notes import joined, note
from ..protocol import (
    CitedSource,
    Done,
    Event,
    Sources,
    Summary,
    Token,
    ToolCall,
    UserMessage,
    decode_event,
    entry,
)

AT_ONCE = 500


class NoSuchSession(Exception):
    """None of that id is stored here."""


async def listing(stores: Sequence[Store], user_id: str | None, limit: int) -> str:
    """A line a session, newest first, of all stores."""
    rows: dict[str, SessionRow] = {}
    for store in stores:
        for row in await store.list_sessions(user_id, limit):
            rows.setdefault(row.session_id, row)
    newest = sorted(rows.values(), key=lambda row: row.start_time, reverse=True)[:limit]
    lines = [
        f"{row.session_id}  {when(row.start_time)}  {length(row):>10}  {row.summary_status:<7}  "
        f"{row.user_id}"
        for row in newest
    ]
    return "\n".join(lines) or "no sessions"


async def found(stores: Sequence[Store], session_id: str) -> tuple[SessionRow, list[Event]]:
    """From the first store that has it. Raises `NoSuchSession`."""
    for store in stores:
        if session := await store.fetch(session_id):
            row, rows = session
            return row, fold(decode_event(one.event_type, one.payload) for one in rows)
    raise NoSuchSession(f"there is no session {session_id}")


async def of_user(stores: Sequence[Store], user_id: str) -> list[str]:
    """The ids of a user's sessions in all stores, the newest first."""
    rows: dict[str, SessionRow] = {}
    for store in stores:
        most = AT_ONCE
        while len(found := await store.list_sessions(user_id, most)) == most:
            most *= 4
        rows |= {row.session_id: row for row in found}
    return sorted(rows, key=lambda one: rows[one].start_time, reverse=True)


async def delete(
    stores: Sequence[Store], session_ids: Sequence[str], user_id: str | None
) -> set[str]:
    """Remove sessions, and all of a user, from every store; which.

    The last store goes first: once it refuses what comes late, nothing brings one back.
    """
    deleted = set(session_ids)
    for store in reversed(stores):
        if deleted:
            await store.delete(sorted(deleted))
        while user_id is not None and (rows := await store.list_sessions(user_id, AT_ONCE)):
            named = [row.session_id for row in rows]
            deleted.update(named)
            await store.delete(named)
    return deleted


def as_json(row: SessionRow, events: list[Event]) -> str:
    """The whole session: its row, and its folded events."""
    data: dict[str, Any] = {
        "session": msgspec.to_builtins(row),
        "events": [entry(event) for event in events],
    }
    return json.dumps(data, ensure_ascii=False, indent=2)


def as_markdown(row: SessionRow, events: list[Event]) -> str:
    """The conversation for a reader."""
    parts = [
        f"# Session {row.session_id}",
        f"{row.user_id}, {when(row.start_time)}, {length(row)}, {used(events)}",
    ]
    for event in events:
        match event:
            case UserMessage():
                files = [note(file) for file in event.files]
                parts += [f"## {event.user_id}", joined(event.text, files)]
            case Token(kind="text"):
                parts += ["## Assistant", event.delta]
            case ToolCall():
                arguments = json.dumps(event.arguments, ensure_ascii=False)
                parts.append(f"*{event.name}({arguments}): {event.status}*")
            case Sources():
                parts.append("\n".join(f"- {cited(source)}" for source in event.sources))
            case Done() if event.status not in ("completed", "consumed"):
                parts.append(f"*{event.status}*")
            case Summary(status="done"):
                parts += ["## Summary", event.text or ""]
    return "\n\n".join(parts) + "\n"


def cited(source: CitedSource) -> str:
    what = source.title or source.url or source.file_id or ""
    return f"{what}: {source.url}" if source.url and what != source.url else what


def when(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def length(row: SessionRow) -> str:
    return "open" if row.duration_seconds is None else f"{row.duration_seconds:.0f} s"


def used(events: list[Event]) -> str:
    """The tokens of all answers, and what they cost where that is known."""
    usages = [event.usage for event in events if isinstance(event, Done)]
    text = (
        f"{sum(usage.input_tokens for usage in usages)} tokens read, "
        f"{sum(usage.output_tokens for usage in usages)} written"
    )
    costs = [usage.cost for usage in usages if usage.cost is not None]
    return f"{text}, ${sum(costs):.4f}" if costs else text

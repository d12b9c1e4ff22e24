"""Rows to ship."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from realtime.core.rows import Batch, EventRow, Head, Refused, SessionRow
from realtime.supabase import Supabase

T0 = 1_767_225_600_123
"""2026-01-01T00:00:00.123Z"""


def new_id() -> str:
    return str(uuid.uuid4())


def session(session_id: str | None = None, **fields: Any) -> SessionRow:
    values: dict[str, Any] = {"user_id": "guest-1", "start_time": T0} | fields
    return SessionRow(session_id=session_id or new_id(), **values)


def event(of: SessionRow, seq: int, kind: str = "user_message", **fields: Any) -> EventRow:
    payload = {"session_id": of.session_id, "seq": seq, "ts": T0 + seq, "text": f"text {seq}"}
    values: dict[str, Any] = {
        "id": seq,
        "epoch": of.epoch,
        "first_seq": seq,
        "run_id": None,
        "content": f"text {seq}",
        "payload": msgspec.json.encode(payload),
        "created_at": T0 + seq,
    } | fields
    return EventRow(session_id=of.session_id, seq=seq, event_type=kind, **values)


def token(of: SessionRow, first: int, last: int | None = None, **fields: Any) -> EventRow:
    """A token event, or several folded into one, of one run and message."""
    last = first if last is None else last
    payload = {
        "session_id": of.session_id,
        "seq": last,
        "message_id": fields.pop("message_id", "m-1"),
        "kind": fields.pop("kind", "text"),
        "delta": "x" * (last - first + 1),
    }
    values: dict[str, Any] = {
        "first_seq": first,
        "run_id": "r-1",
        "content": "x" * (last - first + 1),
        "payload": msgspec.json.encode(payload),
    } | fields
    return event(of, last, "token", **values)


def head_of(row: SessionRow, revision: int = 1) -> Head:
    return Head(row, row.end_time is None, None, revision=revision)


def batch(*rows: SessionRow | EventRow, cursor: int | None = None) -> Batch:
    events = [row for row in rows if isinstance(row, EventRow)]
    last = max((row.id for row in events), default=0)
    at = last if cursor is None else cursor
    heads = [head_of(row, at) for row in rows if isinstance(row, SessionRow)]
    return Batch(heads, events, at)


async def ship(supabase: Supabase, batch: Batch, worker: str = "worker-1") -> list[Refused]:
    """Ship as a worker does that is alive; the rows that were refused."""
    answer = await supabase.ship(batch, worker, 60)
    assert answer.lost == []
    return answer.refused


def plain(row: EventRow) -> dict[str, Any]:
    """All of a row but its journal id, the payload as JSON."""
    data = msgspec.structs.asdict(row)
    del data["id"]
    data["payload"] = msgspec.json.decode(row.payload)
    return data

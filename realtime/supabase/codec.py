"""Rows as Supabase's functions take them and give them back."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from ..core.rows import EventRow, Head, SessionRow, builtins
from ..protocol import MAX_DIGITS, clean_text, to_json

_MANY_DIGITS = re.compile(rf"\d{{{MAX_DIGITS}}}")
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def encode_event(row: EventRow) -> dict[str, Any]:
    """The row as `ship_batch` takes it. Payload and provider state travel as their text, so
    that nothing on the way rounds their numbers; Postgres holds no U+0000."""
    data = builtins(row)
    del data["id"]
    payload = row.payload
    if b"\\u0000" in payload:
        payload = _ESCAPED_NUL.sub(rb"\1\\ufffd", payload)
    data["payload"] = payload.decode("utf-8", "replace")
    data["content"] = clean_text(row.content)
    if row.provider_state is not None:
        data["provider_state"] = clean_text(row.provider_state.decode("utf-8", "replace"))
    return data


def encode_head(head: Head) -> dict[str, Any]:
    data = builtins(head.row) | {
        "revision": head.revision,
        "left_at": head.left_at,
        "share_key": head.share_key,
    }
    data["user_id"] = clean_text(data["user_id"])
    for name in ("summary", "title", "last_text"):
        if data[name] is not None:
            data[name] = clean_text(data[name])
    return data


def decode_head(data: dict[str, Any]) -> Head:
    row = decode_session(data)
    return Head(row, row.end_time is None, milliseconds(data["left_at"]), data["share_key"])


def decode_event(data: dict[str, Any]) -> EventRow:
    state = data.get("provider_state")
    known = data | {
        "payload": _numbers(data["payload"]),
        "content": data["content"] or "",
        "provider_state": None if state is None else state.encode(),
    }
    return msgspec.convert(known, EventRow)


def _numbers(payload: str) -> bytes:
    """A payload with its numbers as they were: Postgres writes out all digits of 1e150, and no
    integer of ours has so many."""
    if not _MANY_DIGITS.search(payload):
        return payload.encode()
    return to_json(json.loads(payload, parse_int=_number))


def _number(text: str) -> int | float:
    return int(text) if len(text) <= MAX_DIGITS else float(text)


def decode_session(data: dict[str, Any]) -> SessionRow:
    """From `read_session` (times in ms) or from the table (times as text)."""
    known = data | {
        "user_id": data["user_id"] or "",
        "start_time": milliseconds(data["start_time"]) or 0,
        "end_time": milliseconds(data["end_time"]),
        "active_at": milliseconds(data.get("active_at")),
    }
    return msgspec.convert(known, SessionRow)


def milliseconds(value: str | int | None) -> int | None:
    """Ms since the Unix epoch. PostgREST writes `2026-01-01T…`, others a space for the T."""
    if value is None or isinstance(value, int):
        return value
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)

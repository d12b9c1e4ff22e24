"""Rows in which each text stands once: a payload leaves out what stands elsewhere.

The text of a message, of a token or of a summary is in `content` alone; where it is long, in pieces
in `texts`. The text of a `done` is that of its tokens, from the `seq` in `text_from` on. The view
`events` puts texts together again, and `rows` and `events` here the payloads. A row that would not
come back exactly is stored whole, and so are those of older versions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec

from ...core.rows import EventRow
from ...protocol import Event, as_event
from ..encode import event_values

FIELDS = EventRow.__struct_fields__
COLUMNS = ("session", *FIELDS[2:], "text_from", "first_piece", "last_piece")
SELECT = f"SELECT {', '.join(FIELDS)}, owner FROM events WHERE "  # noqa: S608

PIECE = 498
"""Characters. SQLite would give a row of almost a page a page of its own."""

_HELD = {
    "user_message": "text",
    "run": "status",
    "token": "delta",
    "done": "text",
    "summary": "text",
}
"""The field of a payload that `content` is, unless it is the status."""

_OF_USERS = ("user_message", "run", "done")
"""Their `user_id` is the session's owner where it is left out."""

_IDS = ("session_id", "run_id", "user_id")
"""Of these None says that a payload has none; of others it is a value."""

# Before it gives a row, SQLite looks for the one behind it. So rows of other messages are passed
# over by whoever reads: a search for one more of this message would go back to the session's first.
_TOKENS = """
    SELECT first_seq, content, CAST(payload AS TEXT) ->> 'offset',
        CAST(payload AS TEXT) ->> 'kind' = 'text' AND CAST(payload AS TEXT) ->> 'message_id' = ?
    FROM events WHERE session_id = ? AND seq < ? AND event_type = 'token' ORDER BY seq DESC"""

_SESSION = "SELECT key, user_id FROM sessions WHERE session_id = ?"

Values = tuple[Any, ...]
Payload = dict[str, Any]

_decode = msgspec.json.Decoder(Payload).decode
_encode = msgspec.json.Encoder().encode


def of_event(writer: sqlite3.Connection, event: Event, epoch: int) -> Values | None:
    """An event as `COLUMNS`; None where its session was deleted. What came before it in its
    session must be stored."""
    return _stored(writer, event_values(event, epoch, b""), msgspec.to_builtins(event))


def of_row(writer: sqlite3.Connection, row: EventRow) -> Values | None:
    """A row that is whole, likewise. Raises `msgspec.DecodeError`."""
    return _stored(writer, msgspec.structs.astuple(row)[1:], _decode(row.payload))


def rows(found: Iterable[Values]) -> list[EventRow]:
    """Whole rows, of what `SELECT` gives. Raises `msgspec.DecodeError`."""
    return [
        EventRow(**dict(zip(FIELDS, row, strict=False)) | {"payload": _encode(_whole(row))})
        for row in found
    ]


def events(found: Iterable[Values]) -> list[Event]:
    """The same as events. Raises `msgspec.DecodeError`."""
    return [as_event(row[6], _whole(row)) for row in found]


def _whole(row: Values) -> Payload:
    *columns, owner = row[1:]
    return _put_back(tuple(columns), owner, _decode(row[8]))


def _put_back(row: Values, owner: str, left: Payload) -> Payload:
    held = {} if "session_id" in left else _held(row, owner)
    if row[5] in _HELD and row[6] == left.get("status"):
        held.pop(_HELD[row[5]], None)
    whole = held | left
    return {name: value for name, value in whole.items() if name not in _IDS or value is not None}


def _held(row: Values, owner: str) -> Payload:
    """The fields of a payload that stand elsewhere."""
    session_id, _, seq, first_seq, run_id, kind, content, _, created_at, _ = row
    held: Payload = {"session_id": session_id, "seq": seq, "ts": created_at, "run_id": run_id}
    if first_seq < seq:
        held["first_seq"] = first_seq
    if kind in _OF_USERS:
        held["user_id"] = owner
    if kind in _HELD:
        held[_HELD[kind]] = content
    return held


def _stored(writer: sqlite3.Connection, row: Values, data: Payload) -> Values | None:
    session = writer.execute(_SESSION, row[:1]).fetchone()
    if session is None:
        return None
    key, owner = session
    kind, content = row[5], row[6]
    held = _held(row, owner)
    left = {name: value for name, value in data.items() if (name, value) not in held.items()}
    if kind in _OF_USERS and "user_id" not in data:
        left["user_id"] = None
    if _put_back(row, owner, left) != data:
        left = {"session_id": None} | data
    text_from = None
    if kind == "done" and "text" in data and "text" not in left:
        text_from = _text_from(writer, data)
    pieces: tuple[int | None, int | None] = (None, None)
    if text_from is not None:
        content = ""
    elif len(content) > PIECE:
        content, pieces = "", _cut(writer, content)
    return (key, *row[1:6], content, _encode(left), *row[8:], text_from, *pieces)


def _cut(writer: sqlite3.Connection, text: str) -> tuple[int, int]:
    """Store a text in pieces: the first and the last of them."""
    (last,) = writer.execute("SELECT coalesce(max(id), 0) FROM texts").fetchone()
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    numbered = list(enumerate(pieces, last + 1))
    writer.executemany("INSERT INTO texts (id, text) VALUES (?, ?)", numbered)
    return numbered[0][0], numbered[-1][0]


def _text_from(writer: sqlite3.Connection, done: Payload) -> int | None:
    """Where the rows begin that give the text of a `done`; None where they do not give it."""
    text: str = done["text"]
    end = len(text)
    place = (done.get("message_id"), done["session_id"], done["seq"])
    for first_seq, said, offset, its_own in writer.execute(_TOKENS, place) if text else ():
        if not its_own:
            continue
        if not text.endswith(said, 0, end):
            return None
        end -= len(said)
        if end == 0:
            return int(first_seq) if offset == 0 else None
    return None

"""Tokens that are stored and not yet filed.

A row of `loose` holds the tokens of all sessions in one flush. As rows of `events` they would
cost several times as much: a flush would write a page of the index for every session. They are
filed a moment later, the neighbours of each session joined, or at once before anything else of
their session is stored. So the rows in `events` are without a gap, and ordered, at any time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from realtime.log.encode import Part, event_values
from realtime.log.fold import merge
from realtime.protocol import Event, Token, to_json

Values = tuple[Any, ...]
_decoder = msgspec.json.Decoder(list[Token])


class Loose:
    """What is loose, by session. It follows the table, once a transaction is through."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Part]] = {}

    def __bool__(self) -> bool:
        return bool(self._parts)

    def sessions(self) -> set[str]:
        return set(self._parts)

    def add(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self._parts.setdefault(part.session_id, []).append(part)

    def forget(self, session_ids: Iterable[str]) -> None:
        for session_id in session_ids:
            self._parts.pop(session_id, None)

    def events(self, session_id: str) -> list[Event]:
        """In any thread. To be asked before the rows are read, so that what is filed meanwhile
        is found twice, not missed."""
        parts = list(self._parts.get(session_id, ()))
        return [event for part in parts for event in part.events]

    def rows(self, session_ids: Iterable[str]) -> list[Values]:
        """What is loose of these sessions, as rows of `events`."""
        return [
            row
            for session_id in session_ids
            if (parts := self._parts.get(session_id))
            for row in _joined(self.events(session_id), parts[0].epoch)
        ]


def keep(writer: sqlite3.Connection, parts: Sequence[Part]) -> None:
    """Store tokens in one row. Inside of a transaction."""
    payloads = b",".join([payload for part in parts for payload in part.payloads])
    writer.execute("INSERT INTO loose (tokens) VALUES (?)", (b"[%b]" % payloads,))


def left(writer: sqlite3.Connection) -> list[Values]:
    """What the last process left loose, as rows of `events`. Raises `msgspec.DecodeError`."""
    tokens: dict[str, list[Token]] = {}
    for (row,) in writer.execute("SELECT tokens FROM loose ORDER BY id"):
        for token in _decoder.decode(row):
            tokens.setdefault(token.session_id, []).append(token)
    rows = []
    for session_id, all_of_it in tokens.items():
        head = writer.execute(
            """SELECT epoch, (SELECT coalesce(max(seq), 0) FROM events WHERE session_id = ?1)
               FROM sessions WHERE session_id = ?1""",
            (session_id,),
        ).fetchone()
        if head:
            epoch, filed = head
            rows += _joined([token for token in all_of_it if token.seq > filed], epoch)
    return rows


def _joined(tokens: Sequence[Event], epoch: int) -> list[Values]:
    return [event_values(event, epoch, to_json(event)) for event in merge(tokens)]

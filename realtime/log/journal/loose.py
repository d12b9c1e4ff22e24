"""Tokens that are stored and not yet filed.

A row of `loose` holds the tokens of all sessions in one flush. As rows of `events` they would
cost several times as much: a flush would write a page of the index for every session. They are
filed a moment later, the neighbours of each session joined, or at once before anything else of
their session is stored. So the rows in `events` are without a gap, and ordered, at any time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from ...core.fold import merge
from ...protocol import Event, Token
from ..encode import Append

Dated = tuple[Event, int]
"""An event, and the epoch that it was appended in."""

_decoder = msgspec.json.Decoder(list[Token])


class _Held(msgspec.Struct):
    """What is loose of one session; `since`: the first row of the table that it needs."""

    since: int
    epoch: int
    events: list[Event]


class Loose:
    """What is loose, by session. It follows the table, once a transaction is through."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}  # in the order of what is loose longest
        self.rows = False  # whether the table has some; their tokens may be filed already

    def __len__(self) -> int:
        return len(self._held)

    def oldest(self, most: int | None) -> tuple[list[str], int | None]:
        """Sessions that are loose longest, and the first row that the others need."""
        sessions = list(islice(self._held, most))
        following = next(islice(self._held.values(), len(sessions), None), None)
        return sessions, following.since if following else None

    def add(self, row_id: int, appends: Iterable[Append]) -> None:
        for one in appends:
            self.rows = True
            if held := self._held.get(one.session_id):
                held.events += one.events
            else:
                self._held[one.session_id] = _Held(row_id, one.epoch, list(one.events))

    def forget(self, session_ids: Iterable[str]) -> None:
        for session_id in session_ids:
            self._held.pop(session_id, None)

    def events(self, session_id: str) -> list[Event]:
        """In any thread. To be asked before the rows are read, so that what is filed meanwhile
        is found twice, not missed."""
        held = self._held.get(session_id)
        return list(held.events) if held else []

    def joined(self, session_ids: Iterable[str]) -> list[Dated]:
        """What is loose of these sessions, neighbours joined."""
        return [
            (event, held.epoch)
            for session_id in session_ids
            if (held := self._held.get(session_id))
            for event in merge(held.events)
        ]


def store(writer: sqlite3.Connection, appends: Sequence[Append]) -> int:
    """Store tokens in one row, and give its id. One statement."""
    payloads = b",".join([payload for one in appends for payload in one.payloads])
    cursor = writer.execute("INSERT INTO loose (tokens) VALUES (?)", (b"[%b]" % payloads,))
    assert cursor.lastrowid
    return cursor.lastrowid


def drop(writer: sqlite3.Connection, before: int | None) -> None:
    """Let go of the rows before this one, or of all. Inside of a transaction."""
    if before is None:
        writer.execute("DELETE FROM loose")
    else:
        writer.execute("DELETE FROM loose WHERE id < ?", (before,))


def left(writer: sqlite3.Connection) -> list[Dated]:
    """What the last process left loose, likewise. Raises `msgspec.DecodeError`."""
    tokens: dict[str, list[Token]] = {}
    for (row,) in writer.execute("SELECT tokens FROM loose ORDER BY id"):
        for token in _decoder.decode(row):
            tokens.setdefault(token.session_id, []).append(token)
    joined: list[Dated] = []
    for session_id, all_of_it in tokens.items():
        head = writer.execute(
            """SELECT epoch, (SELECT coalesce(max(seq), 0) FROM log WHERE session = key)
               FROM sessions WHERE session_id = ?1""",
            (session_id,),
        ).fetchone()
        if head:
            epoch, filed = head
            unfiled = [token for token in all_of_it if token.seq > filed]
            joined += [(event, epoch) for event in merge(unfiled)]
    return joined

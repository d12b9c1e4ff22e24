"""The table of events: a row is one event, or several neighbouring tokens of a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from ...core.fold import first_seq, merge
from ...core.rows import EventRow, StorageError
from ...protocol import Event, decode_event
from . import counts, slim
from .database import Database, insert
from .loose import Loose

INSERT = insert("log", slim.COLUMNS)
INSERT_AT = insert("log", ("id", *slim.COLUMNS))
SELECT_STATES = (
    "SELECT seq, provider_state FROM events WHERE session_id = ? AND provider_state IS NOT NULL"
)


def store(writer: sqlite3.Connection, appended: Iterable[tuple[Event, int]]) -> None:
    """Store events, each with its epoch; those of a session in order. Inside of a transaction."""
    for event, epoch in appended:
        if values := slim.of_event(writer, event, epoch):
            writer.execute(INSERT, values)
            counts.add(writer, event)


class Events:
    """Every method raises `StorageError`. Those that write are for the writing thread."""

    def __init__(self, database: Database, loose: Loose) -> None:
        self._database = database
        self._loose = loose

    def fold_from(self, session_id: str, first: int) -> None:
        """Join the neighbouring tokens of a session from `first` on, where a run begins that has
        ended, into one row each. All from there on is written again: whoever takes the rows in the
        order of their ids has them in the order of `seq`, and no page of the file is left half
        empty."""

        def work(writer: sqlite3.Connection) -> None:
            where = "session_id = ? AND seq >= ? ORDER BY seq"
            rows = slim.rows(writer.execute(slim.SELECT + where, (session_id, first)))
            known = {row.seq: row for row in rows}
            joined = merge(decode_event(row.event_type, row.payload) for row in rows)
            if len(joined) == len(rows):
                return
            writer.executemany("DELETE FROM log WHERE id = ?", [(row.id,) for row in rows])
            for event in joined:
                row = known[event.seq]
                if first_seq(event) < row.first_seq:
                    store(writer, [(event, row.epoch)])
                elif values := slim.of_row(writer, row):  # with what the provider wants back
                    writer.execute(INSERT, values)

        self._database.transaction(work)

    def reading(self) -> AbstractContextManager[None]:
        """What is read inside sees one state of the journal."""
        return self._database.reading()

    def rows(self, session_id: str) -> list[EventRow]:
        """The rows of a session, the oldest first."""
        where = "session_id = ? ORDER BY seq"
        return slim.rows(self._database.query(slim.SELECT + where, (session_id,)))

    def after(self, session_id: str, seq: int, limit: int = -1) -> list[Event]:
        """The rows that end behind `seq`, in order; the first may begin before it. What is
        loose comes behind the last of them."""
        newer = self._loose.events(session_id)
        rows = self._events(
            "session_id = ? AND seq > ? ORDER BY seq LIMIT ?", session_id, seq, limit
        )
        if len(rows) == limit:
            return rows
        last = rows[-1].seq if rows else seq
        return [*rows, *(event for event in newer if event.seq > last)]

    def before(self, session_id: str, seq: int, limit: int) -> list[Event]:
        """The newest `limit` rows that begin before `seq`, oldest first; the last may end
        behind it, where it was folded meanwhile. What is loose counts beside the limit."""
        newer = self._loose.events(session_id)
        rows = self._events(
            "session_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?", session_id, seq, limit
        )[::-1]
        behind = self._events("session_id = ? AND seq >= ? ORDER BY seq LIMIT 1", session_id, seq)
        last = rows[-1].seq if rows else 0
        return [
            *rows,
            *(event for event in behind if first_seq(event) < seq),
            *(event for event in newer if last < event.seq < seq),
        ]

    def without_tokens(self, session_id: str, seq: int, limit: int) -> list[Event]:
        """What happened behind `seq`, in order, but tokens."""
        where = "session_id = ? AND seq > ? AND event_type <> 'token' ORDER BY seq LIMIT ?"
        return self._events(where, session_id, seq, limit)

    def provider_states(self, session_id: str) -> dict[int, bytes]:
        """What the model's provider wants back, by `seq`."""
        return dict(self._database.query(SELECT_STATES, (session_id,)))

    def _events(self, where: str, *values: Any) -> list[Event]:
        rows = self._database.query(slim.SELECT + where, values)
        try:
            return slim.events(rows)
        except msgspec.DecodeError as error:
            raise StorageError(f"a row in {self._database.path} cannot be read: {error}") from error

"""Rows that Supabase refused: kept here with the reason until an operator decides."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ...core.rows import TAKEN, TAKEN_WHY, EventRow, Quarantined, Refused, StorageError
from . import slim
from .database import Database

_SELECT = f"SELECT {', '.join(Quarantined.__struct_fields__)} FROM quarantine "  # noqa: S608
_INSERT = (
    "INSERT OR REPLACE INTO quarantine "
    "(session_id, epoch, seq, code, message, event_type, content, payload, created_at) "
)
_ADD_HEAD = (
    _INSERT  # noqa: S608
    + "SELECT ?1, ?2, NULL, ?3, ?4, 'head', '', x'', start_time FROM sessions WHERE session_id = ?1"
)
_REFUSED = slim.SELECT + "session_id = ? AND ? BETWEEN first_seq AND seq"
_UNSHIPPED = slim.SELECT + "session_id = ? AND id > ? ORDER BY seq"
_ADD = _INSERT + "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Quarantine:
    """Every method raises `StorageError`. Those that write are for the writing thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, refused: Iterable[Refused]) -> None:
        """Note rows that were refused; the journal has them still."""

        def work(writer: sqlite3.Connection) -> None:
            for row in refused:
                if row.seq is None:
                    head = (row.session_id, row.epoch, row.code, row.message)
                    writer.execute(_ADD_HEAD, head)
                    continue
                for kept in slim.rows(writer.execute(_REFUSED, (row.session_id, row.seq))):
                    kept.epoch, kept.seq = row.epoch, row.seq
                    self._add(writer, kept, row.code, row.message)

        self._database.transaction(work)

    def add_unshipped(self, writer: sqlite3.Connection, session_id: str, cursor: int) -> None:
        """Move what was not shipped of a session that another worker took over. Inside of a
        transaction of the journal."""
        for row in slim.rows(writer.execute(_UNSHIPPED, (session_id, cursor))):
            self._add(writer, row, TAKEN, TAKEN_WHY)

    def _add(self, writer: sqlite3.Connection, row: EventRow, code: str, message: str) -> None:
        """Keep a row whole: its session may go, and it stays."""
        writer.execute(
            _ADD,
            (
                *(row.session_id, row.epoch, row.seq, code, message),
                *(row.event_type, row.content, row.payload, row.created_at),
            ),
        )

    def count(self) -> int:
        return int(self._database.query("SELECT count(*) FROM quarantine")[0][0])

    def rows(self, limit: int = -1) -> list[Quarantined]:
        """The oldest first."""
        return self._rows("ORDER BY id LIMIT ?", limit)

    def row(self, number: int) -> Quarantined:
        """Raises `StorageError` where there is none of that number."""
        for row in self._rows("WHERE id = ?", number):
            return row
        raise StorageError(f"no row {number} in quarantine")

    def _rows(self, rest: str, value: int) -> list[Quarantined]:
        return [Quarantined(*row) for row in self._database.query(_SELECT + rest, (value,))]

    def drop(self, numbers: Iterable[int]) -> None:
        """Let go of rows. What is still in the journal stays there."""
        self._database.transaction(
            lambda writer: writer.executemany(
                "DELETE FROM quarantine WHERE id = ?", [(number,) for number in numbers]
            )
        )

    def resend(self, number: int) -> None:
        """Put a row behind the cursor again. Raises `StorageError` where that cannot help."""
        kept = self.row(number)
        kept.check_current()
        place = (kept.session_id, kept.epoch, kept.seq)

        def work(writer: sqlite3.Connection) -> None:
            if kept.seq is None:
                writer.execute(
                    "UPDATE sessions SET revision = revision + 1 WHERE session_id = ?", place[:1]
                )
            else:
                (last,) = writer.execute(
                    "SELECT seq FROM sqlite_sequence WHERE name = 'log'"
                ).fetchone()
                writer.execute(
                    "UPDATE log SET id = ? WHERE session = (SELECT key FROM sessions "
                    "WHERE session_id = ?) AND epoch = ? "
                    "AND ? BETWEEN first_seq AND seq",
                    (last + 1, *place),
                )
                writer.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'log'", (last + 1,))
            writer.execute("DELETE FROM quarantine WHERE id = ?", (number,))

        self._database.transaction(work)

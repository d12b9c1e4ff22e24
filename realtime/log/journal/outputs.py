"""The table of tools' outputs that are too long for an event."""

from __future__ import annotations

import sqlite3

from .database import Database

MAX_OUTPUTS = 100 * 1024 * 1024
"""Bytes of tools' outputs that a session may keep."""


class Outputs:
    """Every method raises `StorageError`. `add` is for the writing thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, session_id: str, output_ref: str, kind: str, data: bytes) -> None:
        """Store a tool's output. A session keeps its newest, up to `MAX_OUTPUTS` bytes."""

        def work(writer: sqlite3.Connection) -> None:
            writer.execute(
                """INSERT INTO outputs (output_ref, session_id, kind, data)
                   SELECT ?2, ?1, ?3, ?4 FROM sessions WHERE session_id = ?1""",
                (session_id, output_ref, kind, data),
            )
            writer.execute(
                """DELETE FROM outputs WHERE id IN (SELECT id FROM (
                     SELECT id, sum(length(data)) OVER (ORDER BY id DESC) AS so_far
                     FROM outputs WHERE session_id = ?) WHERE so_far > ?)""",
                (session_id, MAX_OUTPUTS),
            )

        self._database.transaction(work)

    def find(self, session_id: str, output_ref: str) -> tuple[str, bytes] | None:
        """(kind, data) of a tool's output that was kept."""
        rows = self._database.query(
            "SELECT kind, data FROM outputs WHERE output_ref = ? AND session_id = ?",
            (output_ref, session_id),
        )
        return rows[0] if rows else None

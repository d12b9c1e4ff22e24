"""How far Supabase has the journal: the cursor over the rows, and the heads that changed."""

from __future__ import annotations

import sqlite3

from ...core.rows import Batch
from . import slim
from .database import Database
from .heads import Heads

HEADS_AT_ONCE = 100  # that changed without an event
COUNTED = 100_000  # rows


class Shipping:
    """Every method raises `StorageError`. `shipped` is for the writing thread."""

    def __init__(self, database: Database, heads: Heads) -> None:
        self._database = database
        self._heads = heads

    def cursor(self) -> int:
        """The `id` of the last row that was shipped."""
        found = self._database.query("SELECT value FROM meta WHERE name = 'shipped'")
        return int(found[0][0]) if found else 0

    def unshipped(self, limit: int) -> Batch:
        """The next rows for Supabase, in the order they were written, and heads that changed."""
        with self._database.reading():
            after = self.cursor()
            rows = slim.rows(
                self._database.query(f"{slim.SELECT} id > ? ORDER BY id LIMIT ?", (after, limit))
            )
            heads = self._heads.changed(HEADS_AT_ONCE)
            complete = len(rows) < limit and len(heads) < HEADS_AT_ONCE
            known = {head.row.session_id for head in heads}
            for session_id in dict.fromkeys(row.session_id for row in rows):
                if session_id not in known and (head := self._heads.find(session_id)):
                    heads.append(head)
        return Batch(heads, rows, rows[-1].id if rows else after, complete)

    def waiting(self) -> int:
        """How many rows are to be shipped, or `COUNTED` where there are more."""
        found = self._database.query(
            "SELECT count(*) FROM (SELECT 1 FROM log WHERE id > ? LIMIT ?)",
            (self.cursor(), COUNTED),
        )
        return int(found[0][0])

    def shipped(self, batch: Batch) -> None:
        """Put the cursor behind a batch, and note how far its heads are known."""

        def work(writer: sqlite3.Connection) -> None:
            writer.execute("INSERT OR REPLACE INTO meta VALUES ('shipped', ?)", (batch.cursor,))
            writer.executemany(
                "UPDATE sessions SET shipped = max(shipped, ?) WHERE session_id = ?",
                [(head.revision, head.row.session_id) for head in batch.sessions],
            )

        self._database.transaction(work)

"""The table of sessions: the head of each, and the lists that are made of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ...core.rows import Head, Listing, SessionRow
from . import counts
from .database import Database
from .slim import Values

SESSION = SessionRow.__struct_fields__
COLUMNS = (*SESSION, "unfinished", "left_at", "share_key")
INSERT = f"""INSERT INTO sessions ({", ".join(COLUMNS)}, key) VALUES (
    {", ".join("?" * len(COLUMNS))}, (SELECT value FROM meta WHERE name = 'sessions'))"""  # noqa: S608
NEXT_KEY = "UPDATE meta SET value = value + 1 WHERE name = 'sessions'"
CHANGE = f"SET {', '.join(f'{name} = ?' for name in COLUMNS[1:])}, revision = revision + 1"
UPDATE = f"UPDATE sessions {CHANGE} WHERE session_id = ?"
BEGIN = f"{INSERT} ON CONFLICT (session_id) DO UPDATE {CHANGE}"
SELECT = f"SELECT {', '.join(COLUMNS)}, revision FROM sessions WHERE "  # noqa: S608
LISTED = "user_id = ? AND archived = ? AND active_at IS NOT NULL"
BEHIND = "(pinned, active_at, session_id) < (?, ?, ?)"
IN_ORDER = "ORDER BY pinned DESC, active_at DESC, session_id DESC LIMIT ?"
SHIPPED = """revision <= shipped AND NOT EXISTS (SELECT 1 FROM log WHERE
    log.session = sessions.key
    AND id > coalesce((SELECT value FROM meta WHERE name = 'shipped'), 0))"""


class Heads:
    """Every method raises `StorageError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, writer: sqlite3.Connection, heads: Iterable[Head], begun: set[str]) -> set[str]:
        """Store heads; those of `begun` sessions are new, or were taken over without an event.
        Returns the sessions that somebody has deleted. Inside of a transaction."""
        deleted = set()
        for head in heads:
            session_id, *values = head_values(head)
            if session_id in begun:
                writer.execute(NEXT_KEY)
                writer.execute(BEGIN, (session_id, *values, *values))
                writer.execute(counts.BEGIN, (session_id,))
            elif not writer.execute(UPDATE, (*values, session_id)).rowcount:
                deleted.add(session_id)
        return deleted

    def find(self, session_id: str) -> Head | None:
        heads = self.where("session_id = ?", session_id)
        return heads[0] if heads else None

    def where(self, condition: str, *values: Any) -> list[Head]:
        """`condition`: what follows WHERE."""
        rows = self._database.query(SELECT + condition, values)
        return [
            Head(
                msgspec.convert(dict(zip(SESSION, row, strict=False)), SessionRow, strict=False),
                bool(row[-4]),
                *row[-3:],
            )
            for row in rows
        ]

    def list_sessions(self, user_id: str | None, limit: int) -> list[SessionRow]:
        """The newest first, of a user or of all."""
        of_user = "TRUE" if user_id is None else "user_id = ?1"
        heads = self.where(f"{of_user} ORDER BY start_time DESC LIMIT ?2", user_id, limit)
        return [head.row for head in heads]

    def page(self, wanted: Listing) -> list[SessionRow]:
        """As `log.store.Store.find_sessions`, without words."""
        where, values = placed(wanted)
        heads = self.where(
            f"{LISTED}{where} {IN_ORDER}", wanted.user_id, wanted.archived, *values, wanted.limit
        )
        return [head.row for head in heads]

    def known(self, session_ids: Sequence[str]) -> set[str]:
        """Those of these sessions that are in the journal."""
        marks = ", ".join("?" * len(session_ids))
        found = self._database.query(
            f"SELECT session_id FROM sessions WHERE session_id IN ({marks})",  # noqa: S608
            tuple(session_ids),
        )
        return {session_id for (session_id,) in found}

    def open_sessions(self) -> list[Head]:
        return self.where("end_time IS NULL")

    def ended_before(self, time_ms: int, limit: int, shipped: bool) -> list[str]:
        """Sessions that ended before then; `shipped`: of which Supabase has everything."""
        heads = self.where(
            f"end_time < ? AND {SHIPPED if shipped else 'TRUE'} LIMIT ?", time_ms, limit
        )
        return [head.row.session_id for head in heads]

    def unsummarised(self) -> list[str]:
        """Ended sessions whose summary is still to be made."""
        # the + keeps the planner from the index of all that have ended
        heads = self.where("summary_status IN ('pending', 'failed') AND +end_time IS NOT NULL")
        return [head.row.session_id for head in heads]

    def changed(self, limit: int) -> list[Head]:
        """Heads that Supabase has not as they are."""
        return self.where("revision > shipped LIMIT ?", limit)


def placed(wanted: Listing) -> tuple[str, Values]:
    """What comes behind a place, as a condition and its values."""
    if wanted.before is None:
        return "", ()
    return f" AND {BEHIND}", msgspec.structs.astuple(wanted.before)


def head_values(head: Head) -> tuple[Any, ...]:
    row = msgspec.structs.astuple(head.row)
    return (*row, head.unfinished, head.left_at, head.share_key)

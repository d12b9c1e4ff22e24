"""How far each follower of the log is, in each session: it is given what happened, tokens aside.

A follower has one cursor over the rows, by which it learns in which sessions something happened,
and one over each of these sessions, so that a session it cannot get past holds up no other. Rows
that are written again, joined, get other ids and keep their `seq`, so nothing is given twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from ...protocol import Event
from .database import Database
from .events import Events

ROWS = 2000  # looked at in one transaction
EVENTS = 20  # given at once

_BEGIN = "INSERT OR IGNORE INTO followers SELECT ?, coalesce(max(id), 0) FROM log"
_NEWS = """SELECT max(id) FROM (SELECT id FROM log
    WHERE id > (SELECT cursor FROM followers WHERE follower = ?) ORDER BY id LIMIT ?)"""
_TAKE = """INSERT INTO followed SELECT follower, session, min(first_seq) - 1
    FROM log, followers WHERE follower = ? AND id > cursor AND id <= ? AND event_type <> 'token'
    GROUP BY session ON CONFLICT DO NOTHING"""
_TAKEN = """SELECT DISTINCT session_id FROM log
    JOIN followers ON follower = ? AND id > cursor AND id <= ?
    JOIN sessions ON key = session WHERE event_type <> 'token'"""
_BEHIND = """SELECT session_id FROM followed JOIN sessions ON key = session
    WHERE follower = ? AND EXISTS (SELECT 1 FROM log WHERE log.session = followed.session
        AND log.seq > followed.seq AND event_type <> 'token')"""
_SEEN = """SELECT seq FROM followed JOIN sessions ON key = session
    WHERE follower = ? AND session_id = ?"""
_MOVE = """UPDATE followed SET seq = max(seq, ?) WHERE follower = ?
    AND session = (SELECT key FROM sessions WHERE session_id = ?)"""


class Followers:
    """Every method raises `StorageError`. `follow`, `changed` and `seen` are for the writing
    thread."""

    def __init__(self, database: Database, events: Events) -> None:
        self._database = database
        self._events = events

    def follow(self, followers: Collection[str]) -> None:
        """These follow the log, a new one from now on. All others are forgotten."""
        marks = ", ".join("?" * len(followers))

        def work(writer: sqlite3.Connection) -> None:
            for table in ("followers", "followed"):
                where = f"follower NOT IN ({marks})"
                writer.execute(f"DELETE FROM {table} WHERE {where}", (*followers,))  # noqa: S608
            writer.executemany(_BEGIN, [(name,) for name in followers])

        self._database.transaction(work)

    def changed(self, follower: str) -> list[str]:
        """The sessions in which something happened since the last call."""
        found: dict[str, None] = {}

        def work(writer: sqlite3.Connection) -> None:
            range = (follower, last)
            writer.execute(_TAKE, range)
            found.update((one, None) for (one,) in writer.execute(_TAKEN, range))
            writer.execute("UPDATE followers SET cursor = ? WHERE follower = ?", (last, follower))

        while (last := self._database.query(_NEWS, (follower, ROWS))[0][0]) is not None:
            self._database.transaction(work)
        return list(found)

    def behind(self, follower: str) -> list[str]:
        """The sessions in which it has not seen everything, of those that ever changed."""
        return [one for (one,) in self._database.query(_BEHIND, (follower,))]

    def unseen(self, follower: str, session_id: str) -> list[Event]:
        """The next events of a session that it has not seen, in order."""
        seen = self._database.query(_SEEN, (follower, session_id))
        return self._events.without_tokens(session_id, seen[0][0], EVENTS) if seen else []

    def seen(self, follower: str, session_id: str, seq: int) -> None:
        """It has seen the events of a session up to this one."""
        self._database.transaction(
            lambda writer: writer.execute(_MOVE, (seq, follower, session_id))
        )

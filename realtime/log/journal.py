"""The tables of the journal. Every call blocks; `realtime.log.log` keeps them off the loop."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import uuid4

import msgspec

from ..core.fold import first_seq, merge
from ..core.provider_state import keep_provider_state
from ..core.rows import Batch, EventRow, Head, SessionRow, StorageError
from ..protocol import Done, Event, ToolCall, decode_event, to_json
from . import loose
from .database import Database
from .encode import Part, event_values
from .quarantine import Quarantine

MAX_OUTPUTS = 100 * 1024 * 1024
"""Bytes of tools' outputs that a session may keep."""

MIGRATIONS = (
    """
    CREATE TABLE sessions (
        session_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        start_time INTEGER NOT NULL,
        end_time INTEGER,
        duration_seconds REAL,
        summary TEXT,
        summary_status TEXT NOT NULL,
        unfinished INTEGER NOT NULL,
        left_at INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_user ON sessions (user_id, start_time DESC);
    CREATE INDEX sessions_open ON sessions (session_id) WHERE end_time IS NULL;
    CREATE INDEX sessions_to_sum_up ON sessions (session_id)
        WHERE summary_status IN ('pending', 'failed');
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        run_id TEXT,
        event_type TEXT NOT NULL,
        content TEXT NOT NULL,
        payload BLOB NOT NULL,
        created_at INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX events_in_order ON events (session_id, seq);
    CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    """,
    "ALTER TABLE sessions ADD COLUMN share_key TEXT",
    "CREATE INDEX events_done ON events (created_at) WHERE event_type = 'done'",
    """
    CREATE TABLE outputs (
        id INTEGER PRIMARY KEY,
        output_ref TEXT NOT NULL UNIQUE,
        session_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        data BLOB NOT NULL
    );
    CREATE INDEX outputs_of_session ON outputs (session_id);
    """,
    """
    ALTER TABLE sessions ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE sessions ADD COLUMN shipped INTEGER NOT NULL DEFAULT 0;
    UPDATE sessions SET revision = 1 + coalesce(
        (SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0);
    CREATE INDEX sessions_to_ship ON sessions (session_id) WHERE revision > shipped;
    CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        seq INTEGER,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        event_type TEXT NOT NULL,
        content TEXT NOT NULL,
        payload BLOB NOT NULL,
        created_at INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX quarantine_rows ON quarantine (session_id, epoch, ifnull(seq, 0));
    """,
    "CREATE TABLE loose (id INTEGER PRIMARY KEY, tokens BLOB NOT NULL)",
    "ALTER TABLE events ADD COLUMN provider_state BLOB",
)

HEADS_AT_ONCE = 100  # that changed without an event


class Journal:
    """Every method raises `StorageError`. Those that write are for one thread."""

    def __init__(self, path: str, *, synchronous: str = "NORMAL", owner: bool = True) -> None:
        self._database = Database(path, MIGRATIONS, synchronous=synchronous, owner=owner)
        self.path = path
        self.set_aside = self._database.set_aside
        self.quarantine = Quarantine(self._database)
        self.loose = loose.Loose()
        if owner:
            self._database.transaction(self._file_left)

    def close(self) -> None:
        self._database.close()

    # ---------------------------------------------------------------- writing

    def write(self, parts: Sequence[Part], heads: Iterable[Head]) -> set[str]:
        """Commit events and the heads of their sessions, all or nothing.

        Tokens stay loose until they are filed, or anything else of their session comes.
        Returns the sessions that somebody has deleted meanwhile; nothing of them is written.
        """
        gone: set[str] = set()
        begun = {part.session_id for part in parts if part.events and part.events[0].seq == 1}
        firm = {part.session_id for part in parts if not part.only_tokens}
        tokens = [part for part in parts if part.events and part.session_id not in firm]
        row_id = 0

        def work(writer: sqlite3.Connection) -> None:
            nonlocal row_id
            for head in heads:
                session_id, *values = _head_values(head)
                if session_id in begun:
                    writer.execute(_INSERT_HEAD, (session_id, *values))
                elif not writer.execute(_UPDATE_HEAD, (*values, session_id)).rowcount:
                    gone.add(session_id)
            if tokens:
                row_id = loose.keep(writer, tokens)
            if firm:
                rows = self.loose.rows(firm)
                rows += [
                    event_values(event, part.epoch, payload)
                    for part in parts
                    if part.session_id in firm and part.session_id not in gone
                    for event, payload in zip(part.events, part.payloads, strict=True)
                ]
                writer.executemany(_INSERT_EVENT, rows)
            if gone:  # tokens bring no head along, so some may have come in behind it
                writer.executemany(_DELETE_EVENTS, [(session_id,) for session_id in gone])

        self._database.transaction(work)
        self.loose.add(row_id, tokens)
        self.loose.forget(firm | gone)
        return gone

    def file(self, most: int | None = None) -> None:
        """Make rows of what is loose: all of it, or of the sessions that wait longest."""
        sessions, needed = self.loose.oldest(most)

        def work(writer: sqlite3.Connection) -> None:
            writer.executemany(_INSERT_EVENT, self.loose.rows(sessions))
            loose.drop(writer, needed)

        if sessions:
            self._database.transaction(work)
            self.loose.forget(sessions)

    def _file_left(self, writer: sqlite3.Connection) -> None:
        try:
            writer.executemany(_INSERT_EVENT, loose.left(writer))
        except msgspec.DecodeError as error:
            raise StorageError(f"a row in {self.path} cannot be read: {error}") from error
        loose.drop(writer, None)

    def fold_run(self, session_id: str, run_id: str, first: int, last: int) -> None:
        """Join the neighbouring tokens of a finished run into one row each."""

        def work(writer: sqlite3.Connection) -> None:
            where = "session_id = ? AND seq BETWEEN ? AND ? AND run_id = ? ORDER BY seq"
            rows = _event_rows(
                writer.execute(_SELECT_EVENTS + where, (session_id, first, last, run_id))
            )
            known = {row.seq: row for row in rows}
            for event in merge(decode_event(row.event_type, row.payload) for row in rows):
                row = known[event.seq]
                if first_seq(event) == row.first_seq:
                    continue
                writer.execute(
                    "DELETE FROM events WHERE session_id = ? AND seq BETWEEN ? AND ?",
                    (session_id, first_seq(event), event.seq),
                )
                writer.execute(_INSERT_EVENT, event_values(event, row.epoch, to_json(event)))

        self._database.transaction(work)

    def adopt(self, head: Head, events: Sequence[EventRow]) -> None:
        """Take in a session that was read back from Supabase.

        Its rows get ids below zero, behind the cursor: they are there already.
        """

        def work(writer: sqlite3.Connection) -> None:
            (lowest,) = writer.execute("SELECT min(id) FROM events").fetchone()
            first = min(lowest or 0, 0) - len(events)
            writer.executemany(
                _INSERT_EVENT_AT,
                [(first + place, *_event_values(event)) for place, event in enumerate(events)],
            )
            writer.execute(_INSERT_HEAD, _head_values(head))
            writer.execute(
                "UPDATE sessions SET shipped = revision WHERE session_id = ?",
                (head.row.session_id,),
            )

        self._database.transaction(work)

    def shipped(self, batch: Batch) -> None:
        """Put the cursor behind a batch, and note how far its heads are known."""

        def work(writer: sqlite3.Connection) -> None:
            writer.execute("INSERT OR REPLACE INTO meta VALUES ('shipped', ?)", (batch.cursor,))
            writer.executemany(
                "UPDATE sessions SET shipped = max(shipped, ?) WHERE session_id = ?",
                [(head.revision, head.row.session_id) for head in batch.sessions],
            )

        self._database.transaction(work)

    def void(self, session_id: str) -> None:
        """Forget a session that others write now. What was not shipped goes into quarantine,
        since it is nowhere else."""

        def work(writer: sqlite3.Connection) -> None:
            self.quarantine.keep_unshipped(writer, session_id, self._cursor())
            writer.execute(_DELETE_EVENTS, (session_id,))
            writer.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))

        self.file()
        self._database.transaction(work)

    def worker(self) -> str:
        """The identity of this journal among the servers that write to one project."""
        made = str(uuid4())
        self._database.transaction(
            lambda writer: writer.execute(
                "INSERT OR IGNORE INTO meta VALUES ('worker', ?)", (made,)
            )
        )
        return str(self._database.query("SELECT value FROM meta WHERE name = 'worker'")[0][0])

    def probe(self) -> None:
        """Whether anything can be written."""
        self._database.transaction(
            lambda writer: writer.execute("INSERT OR REPLACE INTO meta VALUES ('probe', 1)")
        )

    def showing_early(self, now: bool) -> bool:
        """Note whether this process shows tokens before they are stored; True where the last
        one did, and did not close the journal."""
        before = self._database.query("SELECT value FROM meta WHERE name = 'early'")
        self._database.transaction(
            lambda writer: writer.execute("INSERT OR REPLACE INTO meta VALUES ('early', ?)", (now,))
        )
        return bool(before and before[0][0])

    def keep(self, session_id: str, output_ref: str, kind: str, data: bytes) -> None:
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

    def delete(self, session_ids: Iterable[str]) -> None:
        """Remove sessions for good, events and all."""
        keys = [(session_id,) for session_id in session_ids]

        def work(writer: sqlite3.Connection) -> None:
            writer.executemany(_DELETE_EVENTS, keys)
            writer.executemany("DELETE FROM outputs WHERE session_id = ?", keys)
            writer.executemany("DELETE FROM sessions WHERE session_id = ?", keys)
            writer.executemany("DELETE FROM quarantine WHERE session_id = ?", keys)

        self.file()
        self._database.transaction(work)

    # ---------------------------------------------------------------- reading

    def checkpoint(self) -> None:
        """Tidy the file, beside the writing thread."""
        self._database.checkpoint()

    def reading(self) -> AbstractContextManager[None]:
        """What is read inside sees one state of the journal."""
        return self._database.reading()

    def session(self, session_id: str) -> tuple[Head, list[Event]] | None:
        """A whole session, oldest event first. Only here do events come with their provider
        state: whatever else is read goes to devices."""
        heads = self._heads("session_id = ?", session_id)
        if not heads:
            return None
        events = self.after(session_id, 0)
        states: dict[int, bytes] = dict(self._database.query(_SELECT_STATES, (session_id,)))
        for event in events:
            if isinstance(event, ToolCall | Done):
                keep_provider_state(event, states.get(event.seq))
        return heads[0], events

    def rows(self, session_id: str) -> list[EventRow]:
        """The rows of a session, the oldest first."""
        where = "session_id = ? ORDER BY seq"
        return _event_rows(self._database.query(_SELECT_EVENTS + where, (session_id,)))

    def after(self, session_id: str, seq: int, limit: int = -1) -> list[Event]:
        """The rows that end behind `seq`, in order; the first may begin before it. What is
        loose comes behind the last of them."""
        newer = self.loose.events(session_id)
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
        newer = self.loose.events(session_id)
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

    def output(self, session_id: str, output_ref: str) -> tuple[str, bytes] | None:
        """(kind, data) of a tool's output that was kept."""
        rows = self._database.query(
            "SELECT kind, data FROM outputs WHERE output_ref = ? AND session_id = ?",
            (output_ref, session_id),
        )
        return rows[0] if rows else None

    def row(self, session_id: str) -> SessionRow | None:
        heads = self._heads("session_id = ?", session_id)
        return heads[0].row if heads else None

    def sessions_of(self, user_id: str | None, limit: int) -> list[SessionRow]:
        """Sessions in which something was said, newest first; of a user, or of all."""
        heads = self._heads(
            """(?1 IS NULL OR user_id = ?1) AND EXISTS (SELECT 1 FROM events WHERE
                 events.session_id = sessions.session_id AND event_type = 'user_message')
               ORDER BY start_time DESC LIMIT ?2""",
            user_id,
            limit,
        )
        return [head.row for head in heads]

    def all_sessions(self, user_id: str | None, limit: int) -> list[SessionRow]:
        """Every session, or every one of a user, newest first."""
        heads = self._heads(
            "?1 IS NULL OR user_id = ?1 ORDER BY start_time DESC LIMIT ?2", user_id, limit
        )
        return [head.row for head in heads]

    def open_sessions(self) -> list[Head]:
        return self._heads("end_time IS NULL")

    def ended_before(self, time_ms: int, limit: int, *, shipped: bool) -> list[str]:
        """Sessions that ended before then; `shipped`: of which Supabase has everything."""
        all_there = """revision <= shipped AND NOT EXISTS (SELECT 1 FROM events WHERE
            events.session_id = sessions.session_id AND id > ?)"""
        heads = self._heads(
            f"end_time < ? AND {all_there if shipped else 'TRUE OR ?'} LIMIT ?",
            time_ms,
            self._cursor(),
            limit,
        )
        return [head.row.session_id for head in heads]

    def unsummarised(self) -> list[str]:
        """Ended sessions whose summary is still to be made."""
        heads = self._heads("summary_status IN ('pending', 'failed') AND end_time IS NOT NULL")
        return [head.row.session_id for head in heads]

    def unshipped(self, limit: int) -> Batch:
        """The next rows for Supabase, in the order they were written, and heads that changed."""
        with self.reading():
            after = self._cursor()
            rows = _event_rows(
                self._database.query(f"{_SELECT_EVENTS} id > ? ORDER BY id LIMIT ?", (after, limit))
            )
            heads = self._heads("revision > shipped LIMIT ?", HEADS_AT_ONCE)
            complete = len(rows) < limit and len(heads) < HEADS_AT_ONCE
            known = {head.row.session_id for head in heads}
            for session_id in dict.fromkeys(row.session_id for row in rows):
                if session_id not in known:
                    heads += self._heads("session_id = ?", session_id)
        return Batch(heads, rows, rows[-1].id if rows else after, complete)

    def _cursor(self) -> int:
        found = self._database.query("SELECT value FROM meta WHERE name = 'shipped'")
        return int(found[0][0]) if found else 0

    def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        """Counts over the sessions that began at or after `since`; of one user, or of all.
        `cost` in US dollars, of the answers whose price was known."""
        sessions, ended, mean = self._database.query(
            """SELECT count(*), count(end_time), coalesce(avg(duration_seconds), 0)
               FROM sessions WHERE start_time >= ?1 AND (?2 IS NULL OR user_id = ?2)""",
            (since, user_id),
        )[0]
        messages, answers, read, written, cost = self._database.query(
            """SELECT coalesce(sum(event_type = 'user_message'), 0),
                      coalesce(sum(event_type = 'done'), 0),
                      coalesce(sum(usage ->> 'input_tokens'), 0),
                      coalesce(sum(usage ->> 'output_tokens'), 0),
                      coalesce(sum(usage ->> 'cost'), 0)
               FROM (SELECT event_type, json_extract(CASE event_type WHEN 'done' THEN
                                CAST(payload AS TEXT) END, '$.usage') AS usage
                     FROM events JOIN sessions USING (session_id)
                     WHERE event_type IN ('user_message', 'done')
                       AND start_time >= ?1 AND (?2 IS NULL OR user_id = ?2))""",
            (since, user_id),
        )[0]
        return {
            "sessions": sessions,
            "sessions_ended": ended,
            "mean_duration_seconds": round(mean, 1),
            "messages": messages,
            "answers": answers,
            "input_tokens": read,
            "output_tokens": written,
            "cost": round(cost, 6),
        }

    def spent(self, since: int) -> list[tuple[str, str, int, float]]:
        """What the runs that ended at or after `since` came to, by who asked and by whose
        session: (asker or "", owner, tokens, US dollars)."""
        return self._database.query(
            """SELECT asker, owner,
                      sum((usage ->> 'input_tokens') + (usage ->> 'output_tokens')),
                      coalesce(sum(usage ->> 'cost'), 0.0)
               FROM (SELECT sessions.user_id AS owner,
                            coalesce(CAST(payload AS TEXT) ->> 'user_id', '') AS asker,
                            json_extract(CAST(payload AS TEXT), '$.usage') AS usage
                     FROM events JOIN sessions USING (session_id)
                     WHERE event_type = 'done' AND created_at >= ?)
               GROUP BY asker, owner""",
            (since,),
        )

    def _heads(self, where: str, *values: Any) -> list[Head]:
        rows = self._database.query(_SELECT_HEADS + where, values)
        return [
            Head(SessionRow(**dict(zip(_SESSION, row, strict=False))), bool(row[-4]), *row[-3:])
            for row in rows
        ]

    def _events(self, where: str, *values: Any) -> list[Event]:
        rows = self._database.query(f"SELECT event_type, payload FROM events WHERE {where}", values)  # noqa: S608
        try:
            return [decode_event(*row) for row in rows]
        except msgspec.DecodeError as error:
            raise StorageError(f"a row in {self.path} cannot be read: {error}") from error


_SESSION = SessionRow.__struct_fields__
_HEAD = (*_SESSION, "unfinished", "left_at", "share_key")
_EVENT = EventRow.__struct_fields__  # its id first


def _insert(table: str, columns: Sequence[str]) -> str:
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608


_INSERT_EVENT = _insert("events", _EVENT[1:])
_INSERT_EVENT_AT = _insert("events", _EVENT)
_INSERT_HEAD = _insert("sessions", _HEAD)
_UPDATE_HEAD = (
    f"UPDATE sessions SET {', '.join(f'{name} = ?' for name in _HEAD[1:])}, "  # noqa: S608
    "revision = revision + 1 WHERE session_id = ?"
)
_DELETE_EVENTS = "DELETE FROM events WHERE session_id = ?"
_SELECT_HEADS = f"SELECT {', '.join(_HEAD)}, revision FROM sessions WHERE "  # noqa: S608
_SELECT_EVENTS = f"SELECT {', '.join(_EVENT)} FROM events WHERE "  # noqa: S608
_SELECT_STATES = (
    "SELECT seq, provider_state FROM events WHERE session_id = ? AND provider_state IS NOT NULL"
)


def _head_values(head: Head) -> tuple[Any, ...]:
    row = msgspec.structs.astuple(head.row)
    return (*row, head.unfinished, head.left_at, head.share_key)


def _event_values(row: EventRow) -> tuple[Any, ...]:
    return msgspec.structs.astuple(row)[1:]


def _event_rows(rows: Iterable[Any]) -> list[EventRow]:
    return [EventRow(**dict(zip(_EVENT, row, strict=True))) for row in rows]

"""The SQLite journal. Every call blocks; `realtime.log.log` keeps them off the loop.

One connection writes, from one thread. Readers have a connection each: under WAL
they see every committed row and hold nobody up.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from realtime.log.fold import first_seq, merge
from realtime.log.rows import Batch, EventRow, SessionRow, StorageError
from realtime.protocol import (
    EVENT_NAMES,
    Done,
    Event,
    SessionEnded,
    SessionStarted,
    Summary,
    Token,
    ToolCall,
    UserMessage,
    decode_event,
    to_json,
)

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
)

_EVENT_COLUMNS = (
    "session_id, epoch, seq, first_seq, run_id, event_type, content, payload, created_at"
)
_INSERT_EVENT = f"INSERT INTO events ({_EVENT_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608
_SESSION_COLUMNS = ", ".join(SessionRow.__struct_fields__)


class Head(msgspec.Struct):
    """A session's row, and what only the journal needs to know of it."""

    row: SessionRow
    unfinished: bool
    left_at: int | None


def readable(event: Event) -> str:
    """What a person who browses the table wants to see."""
    match event:
        case UserMessage():
            return event.text
        case Token():
            return event.delta
        case Done():
            return event.status if event.text is None else event.text
        case Summary():
            return event.text or event.status
        case ToolCall():
            shown = f"{event.name}({_short(event.arguments)}) {event.status}"
            return shown if event.output is None else f"{shown}: {_short(event.output)}"
        case SessionStarted():
            return f"started by {event.user_id}"
        case SessionEnded():
            return f"ended after {event.duration_seconds:.1f} s"
        case _:
            return str(getattr(event, "status", ""))


def _short(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else to_json(value).decode()
    return text if len(text) <= 2000 else text[:2000] + "…"


def event_row(event: Event, epoch: int) -> EventRow:
    return EventRow(
        session_id=event.session_id,
        epoch=epoch,
        seq=event.seq,
        first_seq=first_seq(event),
        run_id=event.run_id,
        event_type=EVENT_NAMES[type(event)],
        content=readable(event),
        payload=to_json(event),
        created_at=event.ts,
    )


class Journal:
    """The database file. Every method raises `StorageError`."""

    def __init__(self, path: str, *, synchronous: str = "NORMAL") -> None:
        self.path = path
        self._synchronous = synchronous
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        try:
            self._writer = self._connect()
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._migrate()
        except sqlite3.Error as error:
            raise StorageError(f"cannot open {path}: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=5
        )
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        self._opened.append(connection)
        return connection

    def _migrate(self) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StorageError(
                f"{self.path} was written by a newer version of this server; "
                "run that one, or set DATABASE_PATH to another file"
            )
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self._writer.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;"
            )

    def close(self) -> None:
        for connection in self._opened:
            connection.close()

    # ---------------------------------------------------------------- writing

    def write(self, rows: Sequence[EventRow], heads: Iterable[Head]) -> None:
        """Commit events and the heads of their sessions, all or nothing."""
        self._transaction(lambda: self._write(rows, heads))

    def _write(self, rows: Iterable[EventRow], heads: Iterable[Head]) -> None:
        self._writer.executemany(_INSERT_EVENT, map(_values, rows))
        self._writer.executemany(
            f"""INSERT INTO sessions ({_SESSION_COLUMNS}, unfinished, left_at)
                VALUES (?,?,?,?,?,?,?,?,?,?)
                ON CONFLICT (session_id) DO UPDATE SET
                    epoch = excluded.epoch, end_time = excluded.end_time,
                    duration_seconds = excluded.duration_seconds,
                    summary = excluded.summary, summary_status = excluded.summary_status,
                    unfinished = excluded.unfinished, left_at = excluded.left_at""",  # noqa: S608
            [(*msgspec.structs.astuple(head.row), head.unfinished, head.left_at) for head in heads],
        )

    def fold_run(self, session_id: str, run_id: str, first: int, last: int) -> None:
        """Join the neighbouring tokens of a finished run into one row each."""
        self._transaction(lambda: self._fold_run(session_id, run_id, first, last))

    def _fold_run(self, session_id: str, run_id: str, first: int, last: int) -> None:
        rows = self._rows(
            self._writer,
            "session_id = ? AND seq BETWEEN ? AND ? AND run_id = ? ORDER BY seq",
            (session_id, first, last, run_id),
        )
        folded = merge(decode_event(row.event_type, row.payload) for row in rows)
        known = {row.seq: row for row in rows}
        for event in folded:
            row = known[event.seq]
            if first_seq(event) == row.first_seq:
                continue
            self._writer.execute(
                "DELETE FROM events WHERE session_id = ? AND seq BETWEEN ? AND ?",
                (session_id, first_seq(event), event.seq),
            )
            self._writer.execute(_INSERT_EVENT, _values(event_row(event, row.epoch)))

    def adopt(self, row: SessionRow, events: Sequence[EventRow]) -> None:
        """Take in a session that was read back from Supabase.

        Its rows get ids below zero, behind the cursor: they are there already.
        """

        def insert() -> None:
            (lowest,) = self._writer.execute("SELECT min(id) FROM events").fetchone()
            first = min(lowest or 0, 0) - len(events)
            self._writer.executemany(
                _INSERT_EVENT.replace("(session_id", "(id, session_id").replace("(?", "(?,?"),
                [(first + place, *_values(event)) for place, event in enumerate(events)],
            )
            self._write((), [Head(row, unfinished=row.end_time is None, left_at=None)])

        self._transaction(insert)

    def shipped(self, cursor: int) -> None:
        self._transaction(
            lambda: self._writer.execute(
                "INSERT INTO meta VALUES ('shipped', ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (cursor,),
            )
        )

    def _transaction(self, work: Any) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                work()
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StorageError(f"cannot write {self.path}: {error}") from error

    # ---------------------------------------------------------------- reading

    def session(self, session_id: str) -> tuple[Head, list[Event]] | None:
        """A whole session, oldest event first."""
        heads = self._heads("session_id = ?", (session_id,))
        if not heads:
            return None
        return heads[0], self.after(session_id, 0)

    def after(self, session_id: str, seq: int, limit: int = -1) -> list[Event]:
        """The rows that end behind `seq`, in order; the first may begin before it."""
        return [
            decode_event(row.event_type, row.payload)
            for row in self._rows(
                self._reader(),
                "session_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                (session_id, seq, limit),
            )
        ]

    def before(self, session_id: str, seq: int, limit: int) -> list[Event]:
        """The newest `limit` rows before `seq`, oldest first."""
        rows = self._rows(
            self._reader(),
            "session_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            (session_id, seq, limit),
        )
        return [decode_event(row.event_type, row.payload) for row in reversed(rows)]

    def row(self, session_id: str) -> SessionRow | None:
        heads = self._heads("session_id = ?", (session_id,))
        return heads[0].row if heads else None

    def sessions_of(self, user_id: str, limit: int) -> list[SessionRow]:
        """A user's sessions in which something was said, newest first."""
        heads = self._heads(
            """user_id = ? AND EXISTS (SELECT 1 FROM events WHERE
                 events.session_id = sessions.session_id AND event_type = 'user_message')
               ORDER BY start_time DESC LIMIT ?""",
            (user_id, limit),
        )
        return [head.row for head in heads]

    def open_sessions(self) -> list[Head]:
        return self._heads("end_time IS NULL", ())

    def unsummarised(self) -> list[str]:
        """Ended sessions whose summary is still to be made."""
        heads = self._heads("summary_status IN ('pending', 'failed') AND end_time IS NOT NULL", ())
        return [head.row.session_id for head in heads]

    def unshipped(self, limit: int) -> Batch:
        """The next rows for Supabase, in the order they were written."""
        connection = self._reader()
        cursor = self._query(connection, "SELECT value FROM meta WHERE name = 'shipped'", ())
        rows = self._rows(
            connection, "id > ? ORDER BY id LIMIT ?", (cursor[0][0] if cursor else 0, limit)
        )
        sessions = [
            head.row
            for session_id in dict.fromkeys(row.session_id for row in rows)
            for head in self._heads("session_id = ?", (session_id,))
        ]
        return Batch(sessions, rows, rows[-1].id if rows else 0)

    def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        """Counts over the sessions that began at or after `since`; of one user, or of all."""
        sessions, ended, mean = self._query(
            self._reader(),
            """SELECT count(*), count(end_time), coalesce(avg(duration_seconds), 0)
               FROM sessions WHERE start_time >= ?1 AND (?2 IS NULL OR user_id = ?2)""",
            (since, user_id),
        )[0]
        messages, answers, tokens = self._query(
            self._reader(),
            """SELECT coalesce(sum(event_type = 'user_message'), 0),
                      coalesce(sum(event_type = 'done'), 0),
                      coalesce(sum(json_extract(CASE event_type WHEN 'done' THEN
                          CAST(payload AS TEXT) END, '$.usage.output_tokens')), 0)
               FROM events JOIN sessions USING (session_id)
               WHERE event_type IN ('user_message', 'done')
                 AND start_time >= ?1 AND (?2 IS NULL OR user_id = ?2)""",
            (since, user_id),
        )[0]
        return {
            "sessions": sessions,
            "sessions_ended": ended,
            "mean_duration_seconds": round(mean, 1),
            "messages": messages,
            "answers": answers,
            "output_tokens": tokens,
        }

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            try:
                connection = self._connect()
            except sqlite3.Error as error:
                raise StorageError(f"cannot read {self.path}: {error}") from error
            self._local.connection = connection
        return connection

    def _query(self, connection: sqlite3.Connection, sql: str, values: Any) -> list[Any]:
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"cannot read {self.path}: {error}") from error

    def _heads(self, where: str, values: Any) -> list[Head]:
        rows = self._query(
            self._reader(),
            f"SELECT {_SESSION_COLUMNS}, unfinished, left_at FROM sessions WHERE {where}",  # noqa: S608
            values,
        )
        return [
            Head(
                SessionRow(**dict(zip(_SESSION_FIELDS, row, strict=False))),
                bool(row[-2]),
                row[-1],
            )
            for row in rows
        ]

    def _rows(self, connection: sqlite3.Connection, where: str, values: Any) -> list[EventRow]:
        sql = f"SELECT id, {_EVENT_COLUMNS} FROM events WHERE {where}"  # noqa: S608
        return [
            EventRow(**dict(zip(_EVENT_FIELDS, row, strict=True)))
            for row in self._query(connection, sql, values)
        ]


_EVENT_FIELDS = EventRow.__struct_fields__
_SESSION_FIELDS = SessionRow.__struct_fields__


def _values(row: EventRow) -> tuple[Any, ...]:
    return msgspec.structs.astuple(row)[1:]

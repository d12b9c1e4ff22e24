"""Sessions that are deleted: gone at once for every reader, and their rows some at a time.

A session of many rows, or many sessions, would otherwise hold up the commits of all others.
"""

from __future__ import annotations

import sqlite3
import time

from . import search

ROWS = 5  # between two looks at the clock: on a cold disk a row takes its time

_NOTE = "INSERT OR IGNORE INTO leaving SELECT key, session_id, 0 FROM sessions WHERE session_id = ?"
_TO_BLANK = "SELECT session, blanked FROM leaving WHERE blanked IS NOT NULL LIMIT 1"
_BLANKED = "SELECT session, session_id FROM leaving LIMIT 1"
_UNBLANKED = f"""SELECT seq, id, first_piece, last_piece FROM log
    WHERE session = ? AND seq > ? ORDER BY seq LIMIT {ROWS}"""  # noqa: S608
_BLANK = """UPDATE log SET content = zeroblob(length(CAST(content AS BLOB))),
    payload = zeroblob(length(payload)), provider_state =
    CASE WHEN provider_state IS NOT NULL THEN zeroblob(length(provider_state)) END WHERE id = ?"""
_BLANK_TEXTS = """UPDATE texts SET text = zeroblob(length(CAST(text AS BLOB)))
    WHERE id BETWEEN ? AND ?"""
_SOME_ROWS = f"SELECT id FROM log WHERE session = ? LIMIT {ROWS}"  # noqa: S608
_AN_OUTPUT = "SELECT id FROM outputs WHERE session_id = ? LIMIT 1"


def leave(writer: sqlite3.Connection, session_id: str) -> None:
    """Take a session out of the journal: nobody finds it any more. Inside of a transaction."""
    place = (session_id,)
    search.forget(writer, session_id)
    writer.execute(_NOTE, place)
    writer.execute(
        "DELETE FROM counts WHERE session IN (SELECT session FROM leaving WHERE session_id = ?)",
        place,
    )
    writer.execute(
        "DELETE FROM followed WHERE session IN (SELECT session FROM leaving WHERE session_id = ?)",
        place,
    )
    writer.execute("DELETE FROM sessions WHERE session_id = ?", place)


def sweep(writer: sqlite3.Connection, seconds: float) -> bool:
    """Delete rows of theirs for about so long; whether some are left. Inside of a transaction."""
    until = time.monotonic() + seconds
    while True:
        if found := writer.execute(_TO_BLANK).fetchone():
            blank(writer, *found)
        elif found := writer.execute(_BLANKED).fetchone():
            delete(writer, *found)
        else:
            return False
        if time.monotonic() >= until:
            return True


def delete(writer: sqlite3.Connection, session: str, session_id: str) -> None:
    """Delete some of a session's rows. Inside of a transaction."""
    if rows := writer.execute(_SOME_ROWS, (session,)).fetchall():
        writer.executemany("DELETE FROM log WHERE id = ?", rows)
    elif _gone(writer, session_id) and (
        outputs := writer.execute(_AN_OUTPUT, (session_id,)).fetchall()
    ):
        writer.executemany("DELETE FROM outputs WHERE id = ?", outputs)
    else:
        writer.execute("DELETE FROM leaving WHERE session = ?", (session,))


def blank(writer: sqlite3.Connection, session: str, seq: int) -> None:
    """Overwrite some of a session's rows behind `seq`, where they are. Deleting a row may move its
    neighbours to another page of the file, and what they leave behind is not overwritten by
    `secure_delete`: so all of a session are blank before the first of them goes. Inside of a
    transaction."""
    rows = writer.execute(_UNBLANKED, (session, seq)).fetchall()
    for _, row_id, *pieces in rows:
        writer.execute(_BLANK, (row_id,))
        if pieces[0] is not None:
            writer.execute(_BLANK_TEXTS, pieces)
    last = rows[-1][0] if rows else None
    writer.execute("UPDATE leaving SET blanked = ? WHERE session = ?", (last, session))


def _gone(writer: sqlite3.Connection, session_id: str) -> bool:
    """Whether it was deleted; another worker may have had it, and given it back."""
    place = (session_id,)
    there = writer.execute("SELECT 1 FROM sessions WHERE session_id = ?", place).fetchone()
    return there is None

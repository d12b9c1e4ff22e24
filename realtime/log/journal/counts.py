"""The table of counts: what was said and used in each session, so that nobody adds it up again.
A message that another answer took in (`consumed`) is no answer. Triggers keep the sums of each day
in `days`, of each user and of all (""), so that a sum over many sessions reads none of them.

Sessions of an older version are counted later, some at a time; until then they are added up from
their rows.
"""

from __future__ import annotations

import sqlite3
import time

from ...protocol import Done, Event, UserMessage

BEGIN = """INSERT OR IGNORE INTO counts (session, user_id, start_time)
    SELECT key, user_id, start_time FROM sessions WHERE session_id = ?"""
_ADD = """UPDATE counts SET messages = messages + ?, answers = answers + ?,
    input_tokens = input_tokens + ?, output_tokens = output_tokens + ?, cost = cost + ?
    WHERE session = (SELECT key FROM sessions WHERE session_id = ?)"""
_ANSWERED = "CASE event_type WHEN 'done' THEN CAST(payload AS TEXT) ->> 'status' <> 'consumed' END"
_USAGE = "json_extract(CASE event_type WHEN 'done' THEN CAST(payload AS TEXT) END, '$.usage')"
ADDED_UP = f"""coalesce(sum(event_type = 'user_message'), 0) AS messages,
    coalesce(sum({_ANSWERED}), 0) AS answers,
    coalesce(sum({_USAGE} ->> 'input_tokens'), 0) AS input_tokens,
    coalesce(sum({_USAGE} ->> 'output_tokens'), 0) AS output_tokens,
    coalesce(sum({_USAGE} ->> 'cost'), 0.0) AS cost"""
_COUNT = f"""UPDATE counts SET (messages, answers, input_tokens, output_tokens, cost) = (
        SELECT {ADDED_UP} FROM log
        WHERE log.session = counts.session AND event_type IN ('user_message', 'done'))
    WHERE session = ?"""  # noqa: S608
_UNCOUNTED = """SELECT key, session_id FROM sessions
    WHERE key > ? AND NOT EXISTS (SELECT 1 FROM counts WHERE session = key)
    ORDER BY key LIMIT 1"""


def add(writer: sqlite3.Connection, event: Event) -> None:
    """Count an event that is stored. Inside of a transaction."""
    match event:
        case UserMessage():
            writer.execute(_ADD, (1, 0, 0, 0, 0.0, event.session_id))
        case Done(status=status, usage=used):
            values = (
                0,
                status != "consumed",
                used.input_tokens,
                used.output_tokens,
                used.cost or 0.0,
            )
            writer.execute(_ADD, (*values, event.session_id))


def recount(writer: sqlite3.Connection, session_id: str) -> None:
    """Count a session from its rows. Inside of a transaction."""
    writer.execute(BEGIN, (session_id,))
    writer.execute(_COUNT, _key(writer, session_id))


def _key(writer: sqlite3.Connection, session_id: str) -> tuple[str]:
    found: tuple[str] = writer.execute(
        "SELECT key FROM sessions WHERE session_id = ?", (session_id,)
    ).fetchone()
    return found


def count_some(writer: sqlite3.Connection, seconds: float) -> bool:
    """Count sessions of an older version for about so long; whether some are left."""
    until = time.monotonic() + seconds
    noted = writer.execute("SELECT value FROM meta WHERE name = 'uncounted'").fetchone()
    while noted:
        found = writer.execute(_UNCOUNTED, noted).fetchone()
        if found is None:
            writer.execute("DELETE FROM meta WHERE name = 'uncounted'")
            return False
        key, session_id = found
        recount(writer, session_id)
        noted = (key,)
        if time.monotonic() >= until:
            writer.execute("UPDATE meta SET value = ? WHERE name = 'uncounted'", noted)
            return True
    return False

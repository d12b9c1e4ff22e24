"""Sums over the log: what was said and used, and by whom."""

from __future__ import annotations

from .counts import ADDED_UP
from .database import Database

DAY_MS = 86_400_000
COUNTED = ("messages", "answers", "input_tokens", "output_tokens", "cost")
FIGURES = ("sessions", "sessions_ended", "duration_seconds", *COUNTED)
SAID = f"""SELECT {", ".join(FIGURES)} FROM days WHERE user_id = ?1 AND day >= ?3
    UNION ALL
    SELECT 1, end_time IS NOT NULL, duration_seconds, {", ".join(COUNTED)}
    FROM sessions LEFT JOIN counts ON counts.session = key
    WHERE sessions.start_time >= ?2 AND sessions.start_time < ?3 * {DAY_MS}"""  # noqa: S608
"""From a moment on: each day that is in it as a whole, and the sessions of the day before."""
SUMS = ", ".join(f"coalesce(sum({name}), 0)" for name in FIGURES)
UNCOUNTED = f"""SELECT {ADDED_UP} FROM sessions JOIN log ON log.session = sessions.key
    WHERE sessions.start_time >= ?1 AND (?2 IS NULL OR sessions.user_id = ?2)
      AND event_type IN ('user_message', 'done')
      AND NOT EXISTS (SELECT 1 FROM counts WHERE session = key)"""  # noqa: S608


class Reports:
    """Every method raises `StorageError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        """Counts over the sessions that began at or after `since`; of one user, or of all.
        `cost` in US dollars, of the answers whose price was known."""
        of_user = "" if user_id is None else " AND sessions.user_id = ?1"
        asked = user_id or "", since, -(-since // DAY_MS)
        with self._database.reading():
            sums = f"SELECT {SUMS} FROM ({SAID}{of_user})"  # noqa: S608
            sessions, ended, seconds, *counted = self._database.query(sums, asked)[0]
            if self._database.query("SELECT 1 FROM meta WHERE name = 'uncounted'"):
                left = self._database.query(UNCOUNTED, (since, user_id))[0]
                counted = [one + other for one, other in zip(counted, left, strict=True)]
        messages, answers, read, written, cost = counted
        return {
            "sessions": sessions,
            "sessions_ended": ended,
            "mean_duration_seconds": round(seconds / ended, 1) if ended else 0.0,
            "messages": messages,
            "answers": answers,
            "input_tokens": read,
            "output_tokens": written,
            "cost": round(cost, 6) + 0.0,  # not -0.0
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
                     FROM log JOIN sessions ON key = session
                     WHERE event_type IN ('done', 'session_updated', 'summary')
                        AND created_at >= ?)
               WHERE usage IS NOT NULL
               GROUP BY asker, owner""",
            (since,),
        )

"""Sums over the log: what was said and used, and by whom."""

from __future__ import annotations

from .counts import ADDED_UP
from .database import Database

SUMS = """coalesce(sum(messages), 0), coalesce(sum(answers), 0), coalesce(sum(input_tokens), 0),
    coalesce(sum(output_tokens), 0), coalesce(sum(cost), 0)"""


class Reports:
    """Every method raises `StorageError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        """Counts over the sessions that began at or after `since`; of one user, or of all.
        `cost` in US dollars, of the answers whose price was known."""
        of_user = "" if user_id is None else " AND user_id = ?2"
        asked = (since,) if user_id is None else (since, user_id)
        with self._database.reading():
            sessions, ended, mean = self._database.query(
                f"""SELECT count(*), count(end_time), coalesce(avg(duration_seconds), 0)
                    FROM sessions WHERE start_time >= ?1{of_user}""",  # noqa: S608
                asked,
            )[0]
            counted = self._database.query(
                f"""SELECT {SUMS} FROM counts WHERE start_time >= ?1{of_user}""",  # noqa: S608
                asked,
            )[0]
            if self._database.query("SELECT 1 FROM meta WHERE name = 'uncounted'"):
                left = self._database.query(
                    f"""SELECT {SUMS} FROM (
                        SELECT {ADDED_UP} FROM sessions JOIN log ON log.session = sessions.key
                        WHERE start_time >= ?1{of_user} AND event_type IN ('user_message', 'done')
                          AND NOT EXISTS (SELECT 1 FROM counts WHERE session = key)
                        GROUP BY key)""",  # noqa: S608
                    asked,
                )[0]
                counted = tuple(map(sum, zip(counted, left, strict=True)))
        messages, answers, read, written, cost = counted
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
                     FROM log JOIN sessions ON key = session
                     WHERE event_type IN ('done', 'session_updated', 'summary')
                        AND created_at >= ?)
               WHERE usage IS NOT NULL
               GROUP BY asker, owner""",
            (since,),
        )

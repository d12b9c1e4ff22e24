"""Sums over the log: what was said and used, and by whom."""

from __future__ import annotations

from .database import Database


class Reports:
    """Every method raises `StorageError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
                     FROM log JOIN sessions ON key = session
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
                     FROM log JOIN sessions ON key = session
                     WHERE event_type = 'done' AND created_at >= ?)
               GROUP BY asker, owner""",
            (since,),
        )

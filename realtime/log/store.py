"""What the journal and Supabase can both be asked, in the same words."""

from __future__ import annotations

from typing import Protocol

from ..core.rows import EventRow, SessionRow
from .journal import Journal


class Store(Protocol):
    """Sessions that are kept. Every method raises `StorageError`."""

    async def list_sessions(
        self, user_id: str | None, limit: int, *, said: bool = False
    ) -> list[SessionRow]:
        """The newest sessions first, of one user or of all; `said`: in which something was."""
        ...

    async def fetch(self, session_id: str) -> tuple[SessionRow, list[EventRow]] | None:
        """A session and all its rows, the oldest first; None where there is none."""
        ...

    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        """Counts over the sessions that began at or after `since` (ms)."""
        ...

    async def delete(self, session_ids: list[str]) -> None:
        """Remove sessions for good."""
        ...


class JournalStore:
    """The journal as a `Store`, for a process that does nothing else; its calls block."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def list_sessions(
        self, user_id: str | None, limit: int, *, said: bool = False
    ) -> list[SessionRow]:
        listed = self._journal.sessions_of if said else self._journal.all_sessions
        return listed(user_id, limit)

    async def fetch(self, session_id: str) -> tuple[SessionRow, list[EventRow]] | None:
        row = self._journal.row(session_id)
        return (row, self._journal.rows(session_id)) if row else None

    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        return self._journal.figures(user_id, since)

    async def delete(self, session_ids: list[str]) -> None:
        self._journal.delete(session_ids)

"""What every store of sessions can be asked, in the same words: the journal, and Supabase."""

from __future__ import annotations

from typing import Protocol

from ..core.rows import EventRow, Listing, SessionRow


class Store(Protocol):
    """Sessions that are kept. Every method raises `StorageError`."""

    async def list_sessions(self, user_id: str | None, limit: int) -> list[SessionRow]:
        """The newest sessions first, of one user or of all."""
        ...

    async def find_sessions(self, wanted: Listing) -> list[SessionRow]:
        """A page of a user's list, in the order of their `Place`, the greatest first."""
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

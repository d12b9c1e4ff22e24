"""What the sessions of this worker ask of the other workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..core.rows import SessionRow
from ..core.session import Session
from ..core.user import User
from ..protocol import Progress
from .presence import Presence
from .seat import Seat


class OtherSeat(Seat, Protocol):
    """A session that another worker writes, as it is shown here."""

    session: Session
    presence: Presence
    pins: int

    @property
    def committed(self) -> int:
        """The last event that any device here may see."""
        ...

    def leave(self, sid: str) -> None: ...
    def renamed(self, sid: str, user: User) -> None: ...
    def elsewhere(self, worker: str, users: list[User]) -> None: ...
    def settle(self) -> None: ...


class Others(Protocol):
    """The other workers that share the log."""

    def view(self, session_id: str) -> OtherSeat | None:
        """A session that another worker writes, and that is shown here."""
        ...

    async def show(self, session_id: str, worker: str) -> bool:
        """Show a session that this worker writes. False where there is none. Raises
        `StorageError`."""
        ...

    async def elsewhere(self, session_id: str) -> dict[str, list[User]]:
        """Who watches a session on which other workers. Raises `StorageError`."""
        ...

    def forget(self, session_id: str) -> None:
        """Show a session no more."""
        ...

    def written_here(self, session_id: str, share_key: str | None) -> OtherSeat | None:
        """This worker writes the session from now on, whose shares carry this key: gives its view,
        which has ended."""
        ...

    def watched(self, session_id: str, users: Sequence[User]) -> None:
        """A session has these devices here, a user for each."""
        ...

    def progress(self, report: Progress) -> None:
        """Show how far a tool call is."""
        ...

    def listed(self, user_id: str, changed: Sequence[SessionRow], deleted: Sequence[str]) -> None:
        """Tell a user's devices what has changed in their list."""
        ...

"""How the edge sees a session, whoever owns it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ..core.rows import SessionRow
from ..log.log import Ticket
from ..protocol import Approve, ClientResult, Join, Send, SessionPayload, Stop
from .tail import Page

Ack = Awaitable[dict[str, Any]]


class Seat(Protocol):
    """One session, for those who take part in it. The commands raise `ProtocolError` at once;
    what they return is the ack, which comes with the commit and raises `storage_unavailable`
    where there was none."""

    @property
    def session_id(self) -> str: ...

    @property
    def owner(self) -> str:
        """The user whose session it is."""
        ...

    def row(self) -> SessionRow: ...

    def admits(self, user_id: str, share_key: str | None) -> bool:
        """Whether this user may be here: the owner, or one whose share is not revoked."""
        ...

    async def join(self, sid: str, command: Join, enter: Callable[[], None]) -> SessionPayload:
        """What a device that knows `after_seq` of `epoch` has missed. `enter` puts the socket in
        the room, without a pause before the return of the page that reaches the log's end."""
        ...

    async def history(self, before_seq: int | None, limit: int) -> Page:
        """Older events, folded."""
        ...

    def send(self, command: Send, user_id: str) -> Ack: ...

    def resume(self, run_id: str, user_id: str) -> Ack:
        """Go on with an answer that broke off, as a run of this user."""
        ...

    def stop(self, command: Stop) -> Ack: ...

    def approve(self, command: Approve, user_id: str) -> Ack: ...

    def take_result(self, command: ClientResult, user_id: str) -> Ack:
        """Take a device's answer to a call that waits for one."""
        ...

    def end(self) -> Ack: ...

    def share(self) -> tuple[str, Ticket]:
        """The key of the session's shares, and its commit."""
        ...

    def unshare(self) -> Ticket:
        """Void all shares, and cancel what others than the owner asked for."""
        ...

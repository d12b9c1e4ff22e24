"""How the edge sees a session, whoever owns it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..core.answer import Answer
from ..core.fork import Part
from ..core.rows import SessionRow
from ..core.user import User
from ..protocol import (
    Approve,
    ClientResult,
    File,
    History,
    Join,
    Options,
    Queue,
    QueueEdit,
    Rate,
    Regenerate,
    Send,
    SessionPayload,
    Stop,
    UserMessage,
)
from .ack import Ack
from .tail import Page


class Seat(Protocol):
    """One session, for those who take part in it. The commands raise `ProtocolError` at once;
    what they return is the ack, which comes with the commit and raises `storage_unavailable`
    where there was none. `user_id`: who asks."""

    @property
    def session_id(self) -> str: ...

    @property
    def owner(self) -> str:
        """The user whose session it is."""
        ...

    @property
    def options(self) -> Options: ...

    def row(self) -> SessionRow: ...

    def exchanges(self, leaf: str | None) -> list[tuple[UserMessage, Answer]]:
        """What was said on the active branch, or on that of a message. Raises `not_found`."""
        ...

    def file(self, file_id: str) -> File | None:
        """One that an event of the session lists."""
        ...

    def admits(self, user_id: str, share_key: str | None) -> bool:
        """Whether this user may be here: the owner, or one whose share is not revoked."""
        ...

    async def join(
        self, sid: str, user: User, command: Join, enter: Callable[[], None]
    ) -> SessionPayload:
        """What a device that knows `after_seq` of `epoch` has missed. `enter` puts the socket in
        the room, without a pause before the return of the page that reaches the log's end."""
        ...

    async def history(self, command: History) -> Page:
        """Older events, folded."""
        ...

    def check_send(
        self, command: Send, user: User, found: Sequence[File] = ()
    ) -> tuple[File, ...] | None:
        """The files of a message that could be taken now; None where it is here already."""
        ...

    def send(
        self,
        command: Send,
        user: User,
        found: Sequence[File] = (),
        *,
        instead: str | None = None,
    ) -> Ack:
        """`found`: the files of the message, as far as they are stored; `instead`: the text in
        place of its own."""
        ...

    def resume(self, run_id: str, user_id: str) -> Ack:
        """Go on with an answer that broke off, as a run of this user."""
        ...

    def regenerate(self, command: Regenerate, user_id: str) -> Ack:
        """Answer a question once more, as a run of this user."""
        ...

    def check_edit(self, edit: QueueEdit) -> tuple[File, ...]:
        """The files of a message that waits, where its text may be changed so."""
        ...

    def queue(self, command: Queue, user: User) -> Ack:
        """Change what waits; a message that is edited is this user's from now on."""
        ...

    def select(self, message_id: str, user_id: str) -> Ack:
        """Go over to the branch of a message."""
        ...

    def stop(self, command: Stop, user_id: str) -> Ack: ...

    def approve(self, command: Approve, user_id: str) -> Ack: ...

    def take_result(self, command: ClientResult, user_id: str) -> Ack:
        """Take a device's answer to a call that waits for one."""
        ...

    def rename(self, title: str, user_id: str) -> Ack:
        """Give it a person's title."""
        ...

    def pin(self, pinned: bool, user_id: str) -> Ack: ...

    def archive(self, archived: bool, user_id: str) -> Ack: ...

    def rate(self, command: Rate, user_id: str) -> Ack:
        """Note what a user thinks of an answer."""
        ...

    def part_up_to(self, message_id: str) -> Part:
        """The branch that ends with a message and its answer. Raises `not_found`, `busy`."""
        ...

    def end(self, user_id: str) -> Ack: ...

    def share(self) -> Ack:
        """`key`: what the session's shares carry. Only its owner may share, and unshare."""
        ...

    def unshare(self) -> Ack:
        """Void all shares, and cancel what others than the owner asked for."""
        ...

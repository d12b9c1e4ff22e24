"""What a worker shows of one session: to whom, and of which events."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from ..core.answer import Answer
from ..core.fork import Part
from ..core.rows import SessionRow, StorageError
from ..core.session import Session
from ..core.user import User
from ..protocol import File, History, Join, Options, Present, SessionPayload, UserMessage
from .errors import refused
from .host import Host
from .join import history, leaf_of, page_for, payload
from .presence import Presence
from .tail import Page, Tail


class View(ABC):
    """The half of a `Seat` that reads, whoever writes the session. Everything here happens on the
    event loop."""

    def __init__(self, session: Session, host: Host, tail: Tail, presence: Presence) -> None:
        self.session = session
        self.session_id = session.session_id
        self.presence = presence
        self.pins = 0  # callers that hold it in memory just now
        self._host = host
        self._tail = tail

    @property
    def committed(self) -> int:
        """The last event that any device may see."""
        return self._tail.committed

    @property
    def owner(self) -> str:
        return self.session.user_id

    @property
    def options(self) -> Options:
        return self.session.options

    @property
    @abstractmethod
    def share_key(self) -> str | None:
        """What a share of the session must carry."""

    @property
    @abstractmethod
    def lost(self) -> StorageError | None:
        """Why nothing can be shown any more."""

    @abstractmethod
    def entered(self, user: User, command: Join) -> None:
        """A device has come."""

    @abstractmethod
    def settle(self) -> None:
        """See to what is due while nobody watches."""

    @abstractmethod
    def row(self) -> SessionRow: ...

    def exchanges(self, leaf: str | None) -> list[tuple[UserMessage, Answer]]:
        return self.session.exchanges(leaf_of(self.session, leaf))

    def part_up_to(self, message_id: str) -> Part:
        return self.session.part_up_to(message_id)

    def file(self, file_id: str) -> File | None:
        return self.session.files.get(file_id)

    def admits(self, user_id: str, share_key: str | None) -> bool:
        invited = share_key is not None and share_key == self.share_key
        return invited or user_id == self.owner

    async def join(
        self, sid: str, user: User, command: Join, enter: Callable[[], None]
    ) -> SessionPayload:
        """As in `Seat`: the caller must send the answer before it awaits anything, so that
        nothing falls between page and live stream. Raises `not_found`, `storage_unavailable`."""
        try:
            page, mode = await page_for(command, self.session, self._tail)
            self._check_here()  # else the log may have less than we had
            session, committed = self.session, self.committed
        except StorageError as error:
            raise refused(error) from None
        if page.seq >= committed:
            enter()
            self.presence.enter(sid, user, command.tools)
            self.entered(user, command)
            asyncio.get_running_loop().call_soon(self._tell)  # behind the answer to the join
        model = self._host.services.chain.name_of(session.options.model)
        told = payload(session, committed, page, mode, model)
        told.people = self.presence.people()
        return told

    async def history(self, command: History) -> Page:
        """Older events, folded. Raises `not_found`, `storage_unavailable`."""
        try:
            page = await history(command, self.session, self._tail)
            self._check_here()
        except StorageError as error:
            raise refused(error) from None
        return page

    def _check_here(self) -> None:
        """Raises `StorageError` where the session was forgotten, while a page was read."""
        if self.lost:
            raise self.lost

    def renamed(self, sid: str, user: User) -> None:
        """A device's user has another name."""
        if sid in self.presence.devices:
            self.presence.enter(sid, user)
            self._tell()

    def elsewhere(self, worker: str, users: list[User]) -> None:
        """These are the devices on another worker."""
        self.presence.told(worker, users)
        self._show()

    def _tell(self) -> None:
        """The devices here have changed."""
        self._show()
        self._host.on_devices(self.session_id, [*self.presence.devices.values()])

    def _show(self) -> None:
        here = self.presence
        self._host.on_presence(Present(self.session_id, len(here.users), here.people()))

"""Who watches a session, since when nobody does, and what is due then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import chain

from ..core.user import User
from ..protocol import Person, ToolDeclaration

MAX_PEOPLE = 100
"""As many are told of: everybody here is told of everybody, at each coming and going."""


class Presence:
    """The devices of one session, here and on other workers, and the one timer that runs while
    there are none."""

    def __init__(self, before: Presence | None = None) -> None:
        """`before`: whose devices are still here."""
        self.devices: dict[str, User] = {}  # by sid, in the order of arrival
        self.tools: dict[str, Sequence[ToolDeclaration]] = {}  # by sid, of those that declare some
        if before:
            self.devices |= before.devices
            self.tools |= before.tools
        self.elsewhere: dict[str, Sequence[User]] = {}  # by worker, a user for each device
        self._alone_since = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._about: str | None = None

    def enter(self, sid: str, user: User, tools: Sequence[ToolDeclaration] | None = None) -> None:
        """A device is here, or its user has another name."""
        self.devices[sid] = user
        if tools:
            self.tools[sid] = tools
        self.cancel()

    def leave(self, sid: str) -> None:
        self.devices.pop(sid, None)
        self.tools.pop(sid, None)
        if self.alone:
            self.excuse()

    def told(self, worker: str, users: Sequence[User]) -> None:
        """These are the devices on another worker."""
        if users:
            self.elsewhere[worker] = users
            self.cancel()
        elif self.elsewhere.pop(worker, None) and self.alone:
            self.excuse()

    @property
    def alone(self) -> bool:
        """Whether nobody watches, anywhere."""
        return not (self.devices or self.elsewhere)

    @property
    def users(self) -> list[User]:
        """One for each device, anywhere."""
        return [*self.devices.values(), *chain.from_iterable(self.elsewhere.values())]

    def has(self, user_id: str) -> bool:
        """Whether this user watches, on any device."""
        return any(user.user_id == user_id for user in self.users)

    def people(self) -> list[Person]:
        """Who is here, each once, in the order of arrival, by their newest name. Of names on
        different workers the greatest counts, so that all of them tell the same."""
        names = dict.fromkeys((user.user_id for user in self.users), "")
        for users in (self.devices.values(), *self.elsewhere.values()):
            for user_id, name in {one.user_id: one.name for one in users if one.name}.items():
                names[user_id] = max(name, names[user_id])
        return [Person(one, name or None) for one, name in list(names.items())[:MAX_PEOPLE]]

    def excuse(self) -> None:
        """Until now nobody was missed."""
        self._alone_since = time.monotonic()

    @property
    def alone_s(self) -> float:
        """For how long nobody has watched."""
        return time.monotonic() - self._alone_since

    def after(self, seconds: float, about: str, action: Callable[[], None]) -> None:
        """Act after so long. What is due about the same stays due when it was."""
        if self._timer and self._about == about:
            return
        self.cancel()
        self._about = about

        def due() -> None:
            self._timer = None
            action()

        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), due)

    def cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

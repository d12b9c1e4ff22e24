"""Who has signed in lately: what the log does not keep of a user, and what they may do."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec
from msgspec.structs import replace

from ..core.plan import Limits
from ..core.user import User
from ..protocol import ProtocolError

MOST = 4096
"""Users of whom something is remembered, those who were here last."""

FRESH_S = 10.0
"""How long limits are not asked for again."""


class _Known(msgspec.Struct):
    user: User
    limits: Limits | None = None
    asked_at: float | None = None

    @property
    def fresh(self) -> bool:
        """Whether the limits need not be asked for again."""
        return self.asked_at is not None and time.monotonic() - self.asked_at < FRESH_S


class People:
    """What is known of users, for the runs that go on when their devices are gone. `ask`: the
    limits of a user."""

    def __init__(self, ask: Callable[[User], Awaitable[Limits | None]]) -> None:
        self._ask = ask
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def met(self, user: User) -> None:
        """This user has just signed in. What the last sign-in knew no longer counts."""
        known = self._known.pop(user.user_id, None)
        self._known[user.user_id] = _Known(user, known.limits if known else None)
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    def find(self, user_id: str, name: str | None = None) -> User:
        """The user of this id, under this name. Without attributes where they have not signed in
        since the start."""
        known = self._known.get(user_id)
        return replace(known.user, exp=None, name=name) if known else User(user_id, name=name)

    async def look_up(self, user: User) -> None:
        """Have the limits of a user who is about to do something. Raises what `ask` raises, where
        there are none from before."""
        while not (known := self._here(user)).fresh:
            try:
                known.limits = await self._ask(user)
            except ProtocolError:
                if known.limits is None:
                    raise
            known.asked_at = time.monotonic()
            if self._here(user) is known:  # else they have signed in again
                return

    def _here(self, user: User) -> _Known:
        """What is known of a user who is here now."""
        if user.user_id not in self._known:
            self.met(user)
        self._known.move_to_end(user.user_id)
        return self._known[user.user_id]

    def limits(self, user_id: str) -> Limits | None:
        """Those of a user, as far as they were looked up."""
        known = self._known.get(user_id)
        return known.limits if known else None

    def check_model(self, user_id: str, model: str) -> None:
        """Raises `forbidden` where this one may not answer the user."""
        limits = self.limits(user_id)
        if limits and limits.models is not None and model not in limits.models:
            allowed = ", ".join(limits.models) or "none"
            raise ProtocolError("forbidden", f"{model} may not answer you; you may use: {allowed}")

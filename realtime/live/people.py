"""Who has signed in lately, since the log keeps of a user only what others see."""

from __future__ import annotations

from collections import OrderedDict

from msgspec.structs import replace

from ..core.user import User

MOST = 4096
"""Users whose attributes are remembered, those who signed in last."""


class People:
    """The attributes of users, for the runs that go on when their devices are gone."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, User] = OrderedDict()

    def met(self, user: User) -> None:
        """This user has just signed in; what was known before no longer counts."""
        self._known.pop(user.user_id, None)
        if user.attributes:
            self._known[user.user_id] = user
            if len(self._known) > MOST:
                self._known.popitem(last=False)

    def find(self, user_id: str, name: str | None = None) -> User:
        """The user of this id, under this name. Without attributes where they have not signed in
        since the start."""
        known = self._known.get(user_id)
        return replace(known, exp=None, name=name) if known else User(user_id, name=name)

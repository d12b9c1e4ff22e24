"""A user, as tools and sign-ins know them."""

from __future__ import annotations

import msgspec

from ..protocol import clean_name


class User(msgspec.Struct, frozen=True):
    """Somebody who signed in, or a guest. `user_id`: as the sign-in gives it, never empty.
    `exp`: seconds since the Unix epoch at which their token is no longer good; None: never.
    `name`: what others see of them, cleaned and at most 64 characters. Anybody may have any name:
    decide nothing by it."""

    user_id: str
    exp: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "name", clean_name(self.name))

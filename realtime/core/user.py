"""A user, as tools and sign-ins know them."""

from __future__ import annotations

import msgspec


class User(msgspec.Struct, frozen=True):
    """Somebody who signed in, or a guest. `user_id`: as the sign-in gives it, never empty.
    `exp`: seconds since the Unix epoch at which their token is no longer good; None: never."""

    user_id: str
    exp: int | None = None

"""Grant tokens: whoever has one may open one session, whoever they are."""

from __future__ import annotations

import time
from typing import Literal

import msgspec

from . import AuthError
from .tokens import own, signed

SHARE_DAYS = 30
_AUDIENCE = "share"

Access = Literal["read", "full"]


class Grant(msgspec.Struct, frozen=True):
    """What a token grants. It is good while the session's own share key is this `key`: the
    session takes another one to revoke every share that was given before."""

    session_id: str
    access: Access
    key: str


class Shares:
    def __init__(self, *secrets: str) -> None:
        """As those of `Guests`."""
        self._secrets = secrets

    def token(self, share: Grant) -> str:
        """Good for 30 days, or until the session's key is another."""
        claims = {
            "sub": share.session_id,
            "aud": _AUDIENCE,
            "exp": int(time.time()) + SHARE_DAYS * 86400,
            "access": share.access,
            "key": share.key,
        }
        return signed(claims, self._secrets)

    def read(self, token: str) -> Grant | None:
        """What the token grants; None where it is not good. The key is the session's to check."""
        try:
            claims = own(token, self._secrets, audience=_AUDIENCE)
            return Grant(claims["sub"], claims["access"], claims["key"])
        except (AuthError, KeyError):
            return None

"""Signed links to one file: for an `<img>`, which cannot send a token of its own."""

from __future__ import annotations

import time

import msgspec

from . import AuthError
from .tokens import own, signed

LINK_S = 900
_AUDIENCE = "file"


class SignedLink(msgspec.Struct, frozen=True):
    """Whoever has the token may read the file as this user may, who came by the share of this
    `key` if not as the owner. So it ends with the share."""

    user_id: str
    session_id: str
    file_id: str
    key: str | None = None


class Links:
    def __init__(self, *secrets: str) -> None:
        """As those of `Guests`."""
        self._secrets = secrets

    def token(self, link: SignedLink) -> tuple[str, int]:
        """The token, and until when it is good: seconds since the Unix epoch."""
        expires = int(time.time()) + LINK_S
        claims = {
            "sub": link.user_id,
            "aud": _AUDIENCE,
            "exp": expires,
            "session": link.session_id,
            "file": link.file_id,
            "key": link.key,
        }
        return signed(claims, self._secrets), expires

    def read(self, token: str) -> SignedLink | None:
        """What the token opens; None where it is not good."""
        try:
            claims = own(token, self._secrets, audience=_AUDIENCE)
            return SignedLink(claims["sub"], claims["session"], claims["file"], claims["key"])
        except (AuthError, KeyError):
            return None

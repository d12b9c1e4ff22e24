"""Who somebody is: signed guest identities, and the tokens that share a session."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import msgspec

GUEST_DAYS = 400
SHARE_DAYS = 30
_ALGORITHM = "HS256"


class User(msgspec.Struct, frozen=True):
    """`exp`: seconds since the Unix epoch at which the token is no longer good."""

    user_id: str
    exp: int | None = None


class AuthError(Exception):
    """The token is not good; the message says why, without the token."""


class Guests:
    """Identities that this server signs itself; a guest keeps its token and comes back."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def new(self) -> tuple[User, str]:
        user = User(f"guest-{uuid4()}", int(time.time()) + GUEST_DAYS * 86400)
        token = self._sign({"sub": user.user_id, "aud": "guest", "exp": user.exp})
        return user, token

    def user(self, token: str) -> User:
        """Raises `AuthError`."""
        claims = self._verify(token, "guest")
        return User(str(claims["sub"]), int(claims["exp"]))

    def share(self, session_id: str) -> str:
        """A token that opens one session to whoever has it."""
        exp = int(time.time()) + SHARE_DAYS * 86400
        return self._sign({"sub": session_id, "aud": "share", "exp": exp})

    def shared(self, token: str) -> str | None:
        """The session that a share token opens; None where it is not good."""
        try:
            return str(self._verify(token, "share")["sub"])
        except AuthError:
            return None

    def _sign(self, claims: dict[str, object]) -> str:
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    def _verify(self, token: str, audience: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=audience,
                leeway=30,
                options={"require": ["sub", "exp"]},
            )
        except jwt.InvalidTokenError as error:
            raise AuthError(f"the token is not good: {error}") from None
        return claims


def kept_secret(path: Path) -> str:
    """The secret in this file, made at the first call. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if kept := path.read_text().strip():
            return kept
    secret = secrets.token_urlsafe(32)
    beside = path.with_name(f"{path.name}.{os.getpid()}")  # a crash leaves no half secret
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secret)
    os.replace(beside, path)
    return secret

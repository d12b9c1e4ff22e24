"""Guests: identities that this server gives and signs itself, and the secret it signs with."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web

from . import AuthError, User, given, with_attributes
from .tokens import own, signed

GUEST_DAYS = 400
_AUDIENCE = "guest"


class Guests:
    """An `Authenticator`. A guest keeps its token and comes back with it. The attributes are those
    in the token: whoever has the secret may put some there."""

    def __init__(self, *secrets: str) -> None:
        """The first signs; tokens of the others are good, too."""
        self._secrets = secrets

    def new(self) -> tuple[User, str]:
        """Somebody nobody has met, and the token to come back with."""
        user = User(f"guest-{uuid4()}", int(time.time()) + GUEST_DAYS * 86400)
        return user, self._token(user)

    def _token(self, user: User) -> str:
        claims: dict[str, Any] = {"sub": user.user_id, "aud": _AUDIENCE, "exp": user.exp}
        if user.attributes:
            claims["attributes"] = user.attributes
        return signed(claims, self._secrets)

    async def user(self, token: str | None, request: web.Request) -> User:
        claims = own(given(token), self._secrets, audience=_AUDIENCE)
        return with_attributes(User(claims["sub"], claims["exp"]), claims.get("attributes"))

    def renewed(self, token: str, user: User) -> str:
        """The token that this user comes back with next time: another one, where an older secret
        signed it."""
        try:
            own(token, self._secrets[:1], audience=_AUDIENCE)
        except AuthError:
            return self._token(user)
        return token


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

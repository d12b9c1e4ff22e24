"""Guests: identities that this server gives and signs itself, and the secret it signs with."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path
from uuid import uuid4

import jwt
from aiohttp import web

from . import User, given
from .tokens import verified

GUEST_DAYS = 400
_ALGORITHM = "HS256"
_AUDIENCE = "guest"


class Guests:
    """An `Authenticator`. A guest keeps its token and comes back with it."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def new(self) -> tuple[User, str]:
        """Somebody nobody has met, and the token to come back with."""
        user = User(f"guest-{uuid4()}", int(time.time()) + GUEST_DAYS * 86400)
        claims = {"sub": user.user_id, "aud": _AUDIENCE, "exp": user.exp}
        return user, jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    async def user(self, token: str | None, request: web.Request) -> User:
        claims = verified(given(token), self._secret, _ALGORITHM, audience=_AUDIENCE)
        return User(claims["sub"], claims["exp"])


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

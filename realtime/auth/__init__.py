"""Who somebody is: a token in, a user out.

`guests` signs identities of its own, `supabase` verifies Supabase's access tokens, `hook`
asks a function of yours; each is an `Authenticator`. `shares` signs the tokens that open
one session to others, and `expiry` watches a socket whose token runs out.
"""

from __future__ import annotations

from typing import Any, Protocol

from aiohttp import web
from msgspec.structs import replace

from ..core.user import BadAttributes, User

__all__ = ["AuthError", "Authenticator", "User", "given", "with_attributes"]


class AuthError(Exception):
    """Nobody can be told from this token. The message says why, without the token.

    `retryable`: the token may be good, and cannot be checked right now.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class Authenticator(Protocol):
    """What the handshake of a socket, its `auth` command and HTTP's Bearer ask alike."""

    async def user(self, token: str | None, request: web.Request) -> User:
        """Whose token this is. `request` is the one that opened the socket, or the HTTP
        request itself. Raises `AuthError`, and nothing else."""
        ...


def given(token: str | None) -> str:
    """The token where there is one. Raises `AuthError`."""
    if not token:
        raise AuthError("no token was given: auth.token on a socket, Authorization: Bearer on HTTP")
    return token


def with_attributes(user: User, found: Any) -> User:
    """The user with the attributes that a token has, if any. Raises `AuthError`."""
    try:
        return replace(user, attributes=found) if found else user
    except BadAttributes as error:
        raise AuthError(f"the token cannot be used: {error}") from None

"""Supabase's access tokens, verified here: no request a token."""

from __future__ import annotations

import time
from collections.abc import Callable

import jwt
from aiohttp import web

from realtime.auth import AuthError, User, given
from realtime.auth.keys import ALGORITHMS, Keys
from realtime.auth.tokens import header_of, verified

AUDIENCE = "authenticated"
_SYMMETRIC = "HS256"


class SupabaseTokens:
    """An `Authenticator` over one project. The `user_id` is the token's `sub`.

    A token signed with a published key must use the algorithm of that key's type: ES256,
    RS256 or EdDSA. HS256 is taken only with the project's own JWT secret; such a token may
    leave out `iss`, as some issuers do, since nobody else has that secret.
    """

    def __init__(
        self, url: str, *, secret: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = f"{url.rstrip('/')}/auth/v1"
        self._secret = secret
        self._keys = Keys(f"{self._issuer}/.well-known/jwks.json", clock=clock)

    async def user(self, token: str | None, request: web.Request) -> User:
        token = given(token)
        key, algorithm = await self._key(token)
        claims = verified(token, key, algorithm, audience=AUDIENCE)
        unsaid = self._issuer if key is self._secret else None
        if claims.get("iss", unsaid) != self._issuer:
            raise AuthError("the token is from another issuer")
        return User(claims["sub"], claims["exp"])

    async def close(self) -> None:
        await self._keys.close()

    async def _key(self, token: str) -> tuple[str | jwt.PyJWK, str]:
        """What must have signed this token, and how. Raises `AuthError`."""
        header = header_of(token)
        claimed, kid = header.get("alg"), header.get("kid")
        if claimed == _SYMMETRIC and self._secret:
            return self._secret, _SYMMETRIC
        if claimed not in ALGORITHMS.values():
            raise AuthError("the token is signed in a way that is not accepted here")
        if not kid:
            raise AuthError("the token does not name its key")
        key = await self._keys.find(kid)
        if key.algorithm_name != claimed:
            raise AuthError("the token is not signed in the way of its key")
        return key, key.algorithm_name

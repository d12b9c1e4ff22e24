"""Supabase's access tokens, verified here: no request a token."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any

import jwt
from aiohttp import web

from . import AuthError, User, given, with_attributes
from .keys import ALGORITHMS, FAULTS, Keys, fetched, read
from .tokens import header_of, verified

AUDIENCE = "authenticated"
_SYMMETRIC = "HS256"
_URL = re.compile(r"(https?)://(\[::1\]|[^/?#@:\[\]]+)(?::(\d+))?(/[^?#]*)?", re.I)
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_PORTS = {"http": "80", "https": "443"}

logger = logging.getLogger(__name__)


class SupabaseTokens:
    """An `Authenticator` over one project. The `user_id` is the token's `sub`, the attributes are
    its `app_metadata`. Users write `user_metadata` themselves, so that gives a name and no more.

    A token signed with a published key must use the algorithm of that key's type: ES256,
    RS256 or EdDSA. HS256 is taken only with the project's own JWT secret; such a token may
    leave out `iss`, as some issuers do, since nobody else has that secret.

    `issuer`: what `iss` must be; the project's URL with `/auth/v1` when empty.
    """

    def __init__(
        self,
        url: str,
        *,
        issuer: str = "",
        secret: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{url.rstrip('/')}/auth/v1"
        self.issuer = issuer or self._url
        self._secret = secret
        self._keys = Keys(self._jwks, clock=clock)
        self._told: set[str] = set()

    async def user(self, token: str | None, request: web.Request) -> User:
        token = given(token)
        key, algorithm = await self._key(token)
        claims = verified(token, key, algorithm, audience=AUDIENCE)
        unsaid = self.issuer if key is self._secret else None
        issuer = claims.get("iss") or unsaid
        if spelled(issuer) != spelled(self.issuer):
            self._tell(issuer)
            raise AuthError("the token is from another issuer")
        user = User(claims["sub"], claims["exp"], name_of(claims))
        return with_attributes(user, claims.get("app_metadata"))

    def _tell(self, issuer: Any) -> None:
        """Log each issuer once. The signature was good, so the project itself wrote it."""
        remedy = self._remedy(issuer)
        if remedy not in self._told:
            self._told.add(remedy)
            logger.warning("AUTH=supabase refuses tokens of this project: %s", remedy)

    def _remedy(self, issuer: Any) -> str:
        if not issuer:
            return f"they have no issuer; set GOTRUE_JWT_ISSUER={self.issuer} in the project's Auth"
        found = str(issuer)[:200]
        return (
            f"their issuer is {found!r}, but only {self.issuer!r} is accepted; "
            f"if the first is this project's own, set SUPABASE_JWT_ISSUER={found}"
        )

    async def check(self) -> list[str]:
        """What would keep the project's users out, by what the project publishes of itself."""
        problems = []
        if not self._secret:
            try:
                if not read(await fetched(self._jwks)):
                    problems.append(
                        "the project publishes no key that signs tokens: set SUPABASE_JWT_SECRET "
                        "to its JWT secret, or move it to JWT signing keys"
                    )
            except FAULTS as error:
                reason = str(error) or type(error).__name__
                problems.append(f"the keys at {self._jwks} cannot be fetched: {reason}")
        try:
            issuer = (await fetched(f"{self._url}/.well-known/openid-configuration"))["issuer"]
        except (*FAULTS, KeyError):  # an older Auth does not say
            return problems
        unsaid = self._secret and not issuer
        if not unsaid and spelled(issuer) != spelled(self.issuer):
            problems.append(f"the project's tokens would be refused: {self._remedy(issuer)}")
        return problems

    @property
    def _jwks(self) -> str:
        return f"{self._url}/.well-known/jwks.json"

    async def close(self) -> None:
        await self._keys.close()

    async def _key(self, token: str) -> tuple[str | jwt.PyJWK, str]:
        """What must have signed this token, and how. Raises `AuthError`."""
        header = header_of(token)
        claimed, kid = header.get("alg"), header.get("kid")
        if claimed == _SYMMETRIC and self._secret:
            return self._secret, _SYMMETRIC
        if claimed not in ALGORITHMS.values():
            raise AuthError("the token's algorithm is not accepted")
        if not kid:
            raise AuthError("the token has no key id (kid)")
        key = await self._keys.find(kid)
        if key.algorithm_name != claimed:
            raise AuthError("the token's algorithm does not match its key")
        return key, key.algorithm_name


def name_of(claims: dict[str, Any]) -> str | None:
    """What the user calls themselves, which they may change as they like. The e-mail is for
    nobody else to see."""
    about = claims.get("user_metadata")
    names = (about.get("full_name"), about.get("name")) if isinstance(about, dict) else ()
    return next((name for name in names if isinstance(name, str) and name.strip()), None)


def spelled(issuer: Any) -> Any:
    """One spelling for what is the same issuer: default ports, a slash at the end, and the names
    of this machine, which the Supabase CLI and people use for one another."""
    found = _URL.fullmatch(issuer) if isinstance(issuer, str) else None
    if not found:
        return issuer  # it need not be a URL
    scheme, host, port, path = (part or "" for part in found.groups())
    scheme, host = scheme.lower(), host.lower()
    host = "localhost" if host in _LOOPBACK else host
    return f"{scheme}://{host}:{port or _PORTS[scheme]}{path.rstrip('/')}"

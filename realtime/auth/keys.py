"""The public keys of an issuer, as its JWKS endpoint publishes them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import jwt

from . import AuthError

REFRESH_S = 30.0
RETRY_S = 2.0
MAX_AGE_S = 600.0
TIMEOUT_S = 5.0

# The one algorithm of each type of key: (kty, crv). A symmetric key is never published.
ALGORITHMS = {
    ("EC", "P-256"): "ES256",
    ("RSA", None): "RS256",
    ("OKP", "Ed25519"): "EdDSA",
}

FAULTS = (aiohttp.ClientError, TimeoutError, ValueError, TypeError, RecursionError)
"""What `fetched` and `read` raise."""

logger = logging.getLogger(__name__)


class Keys:
    """Keys by `kid`, fetched when first needed.

    An unknown `kid` fetches them again, at most every 30 s however many ask, and all who
    ask wait for one request. Keys older than ten minutes are fetched anew in the
    background, so that a revoked one goes. While the endpoint is down the keys of before
    stay good; while none was ever had, it is asked every 2 s at most.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] | None = None
        self._fetched = 0.0
        self._asked: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> jwt.PyJWK:
        """Raises `AuthError`."""
        key = (self._keys or {}).get(kid)
        if key is None:
            if task := self._refresh():
                await asyncio.shield(task)
            if self._keys is None:
                raise AuthError("the token cannot be verified right now", retryable=True)
            key = self._keys.get(kid)
        elif self._clock() - self._fetched > MAX_AGE_S:
            self._refresh()
        if key is None:
            raise AuthError("the token was signed with an unknown key")
        return key

    def _refresh(self) -> asyncio.Task[None] | None:
        """The request under way, or a new one where it is time for one."""
        if self._task is None or self._task.done():
            now = self._clock()
            pause = RETRY_S if self._keys is None else REFRESH_S
            if self._asked is not None and now - self._asked < pause:
                return None
            self._asked = now
            self._task = asyncio.create_task(self._fetch(), name="jwks")
        return self._task

    async def _fetch(self) -> None:
        try:
            self._keys = read(await fetched(self._url))
            self._fetched = self._clock()
        except FAULTS as error:
            reason = str(error) or type(error).__name__
            logger.warning("the keys at %s cannot be fetched: %s", self._url, reason)

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])


async def fetched(url: str) -> Any:
    """The JSON at an address. Raises one of `FAULTS`."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, trust_env=True) as http,
        http.get(url, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise ValueError(f"it answered {response.status}")
        return await response.json(content_type=None)


def read(document: Any) -> dict[str, jwt.PyJWK]:
    """The keys of a JWKS that can verify a signature. Raises ValueError where it is none."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is not a JWKS")
    keys = {}
    for entry in entries:
        try:
            algorithm = ALGORITHMS[entry["kty"], entry.get("crv")]
            if entry.get("alg", algorithm) == algorithm and entry.get("use", "sig") == "sig":
                keys[str(entry["kid"])] = jwt.PyJWK(entry, algorithm=algorithm)
        except (jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError):
            logger.info("ignoring an unusable key in the JWKS")
    return keys

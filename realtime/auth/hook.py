"""Authentication by a function of the operator's own.

    async def authenticate(token: str | None, request: aiohttp.web.Request) -> User | None

`token` is what the client gave, or None; `request` has its headers and cookies. None means
nobody, and so does `AuthError`, whose message the client is told. `User(user_id, name=…,
attributes={…})` says what others see of the user, and what tools and limits know of them.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..core.user import BadAttributes
from ..package import NAME, hint
from . import AuthError, User

TIMEOUT_S = 10.0

Authenticate = Callable[[str | None, web.Request], Awaitable[User | None]]
logger = logging.getLogger(__name__)


class Hook:
    """An `Authenticator`. What goes wrong inside the function lets nobody in."""

    def __init__(self, authenticate: Authenticate, *, timeout_s: float = TIMEOUT_S) -> None:
        """Raises ValueError, whose sentence goes on from the function's path."""
        if not (
            inspect.iscoroutinefunction(authenticate)
            or inspect.iscoroutinefunction(getattr(authenticate, "__call__", None))  # noqa: B004
        ):
            raise ValueError("must be a function: async def authenticate(token, request)")
        self._authenticate = authenticate
        self._timeout_s = timeout_s
        self._told: set[str] = set()

    @classmethod
    def load(cls, path: str) -> Hook:
        """The function at a dotted path. Raises ValueError likewise."""
        module_name, _, name = path.rpartition(".")
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            message = f"{type(error).__name__}: {error}{hint(error)}"
            raise ValueError(f"cannot be used: its module cannot be imported: {message}") from error
        function = getattr(module, name, None)
        if function is None:
            raise ValueError(f"cannot be used: {module_name} has no {name}")
        return cls(function)

    async def user(self, token: str | None, request: web.Request) -> User:
        try:
            async with asyncio.timeout(self._timeout_s):
                user = await self._authenticate(token, request)
            if user is not None and not (isinstance(user, User) and user.user_id):
                raise TypeError(f"authenticate must return a {NAME}.auth.User or None")
        except AuthError:
            raise
        except Exception as error:
            self._tell(error)
            raise AuthError("the token cannot be verified right now", retryable=True) from None
        if user is None:
            raise AuthError("the token is invalid" if token else "no token was given")
        return user

    def _tell(self, error: Exception) -> None:
        """Log each fault once: its kind and place, since its message may hold a secret; the message
        where it is ours."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
        fault = f"{type(error).__name__} at {place}"
        if isinstance(error, BadAttributes):
            fault = str(error)
        if fault not in self._told:
            self._told.add(fault)
            logger.error("AUTH: the authenticate function failed with %s; logged once", fault)

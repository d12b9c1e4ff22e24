"""Who asks over HTTP, and how far that goes in a session."""

from __future__ import annotations

from aiohttp import web

from ...auth import Authenticator
from ...auth.shares import Grant, Shares
from ...limits.buckets import Buckets


class Callers:
    """What a user asks counts among their `commands`."""

    def __init__(self, auth: Authenticator, shares: Shares, commands: Buckets) -> None:
        self._auth = auth
        self._shares = shares
        self._commands = commands

    async def user(self, request: web.Request) -> str:
        """Raises `AuthError`, `rate_limited`."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else None
        user_id = (await self._auth.user(bearer or None, request)).user_id
        self._commands.spend(user_id)
        return user_id

    def count(self, user_id: str) -> None:
        """A user asked who showed something else. Raises `rate_limited`."""
        self._commands.spend(user_id)

    def share(self, request: web.Request, session_id: str) -> Grant | None:
        """The share of this session that the header `Share` holds."""
        share = self._shares.read(request.headers.get("Share", ""))
        return share if share and share.session_id == session_id else None

    def share_key(self, request: web.Request, session_id: str) -> str | None:
        share = self.share(request, session_id)
        return share.key if share else None

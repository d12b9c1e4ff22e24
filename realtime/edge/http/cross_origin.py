"""Pages of other origins: what they may send to the API, and read of its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from ...config.origin import origin_of

METHODS = "GET, POST, PATCH, DELETE"
SENT = "Authorization, Content-Type, Last-Event-ID, Share"
READ = "Content-Disposition, Retry-After"
ASKED_AGAIN_S = 600
"""How long a browser may know what it may send."""


def open_to(
    origins: tuple[str, ...],
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Listed origins may use the API. It is asked as an answer begins, since that of a file which
    comes in pieces begins within its handler."""
    listed = {origin_of(origin) for origin in origins}

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        if not listed or "/api/" not in request.path:
            return
        headers = response.headers
        headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin not in listed:
            return
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = READ
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = METHODS
            headers["Access-Control-Allow-Headers"] = SENT
            headers["Access-Control-Max-Age"] = str(ASKED_AGAIN_S)

    return prepare

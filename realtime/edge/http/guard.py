"""What holds for every request: who asks, errors as JSON, headers that keep the page safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .. import errors
from ..door import as_seen

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy of whatever is not the page."""

CODE = ("text/javascript", "text/css")
"""What is under the policy of the page that loads it; without one, it is text."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(proxies: int, check: Callable[[web.Request], None]) -> Any:
    """Errors become JSON, headers become safe. Before a new socket's handshake it is `check`ed."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request = as_seen(request, proxies)
        try:
            if "EIO" in request.query and "sid" not in request.query:
                check(request)
            response = await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = errors.response(error)
        except Exception as error:
            if left(request):
                if isinstance(error, ConnectionError):
                    return web.Response()  # to nobody, and no fault for the log
            elif request.writer.output_size > 0:
                raise  # too late for another answer: this one breaks off
            response = errors.response(error)
        if response.prepared:
            return response
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if response.content_type not in CODE:
            response.headers.setdefault("Referrer-Policy", "no-referrer")
            response.headers.setdefault("Content-Security-Policy", NOTHING)
        return response

    return middleware


async def unsigned(request: web.Request, response: web.StreamResponse) -> None:
    """Nobody needs to know which versions answer."""
    response.headers.popall("Server", None)


def left(request: web.Request) -> bool:
    """Whether the client has gone."""
    return request.transport is None or request.transport.is_closing()

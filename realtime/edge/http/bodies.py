"""Bodies of requests as they come, which may break off at any byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import http_exceptions, web

from ...protocol import ProtocolError

STALL_S = 30
"""How long a body may say nothing."""

_BROKEN_OFF = (
    *(OSError, TimeoutError, http_exceptions.BadHttpMessage),
    *(web.RequestPayloadError, web.PayloadAccessError),
)
"""What reading a body raises that does not come to its end."""


async def body(request: web.Request) -> AsyncIterator[bytes]:
    """The body in pieces. Raises `bad_request` where it breaks off."""
    while True:
        try:
            async with asyncio.timeout(STALL_S):
                piece = await request.content.readany()
        except _BROKEN_OFF:
            raise ProtocolError("bad_request", "the request broke off; send it again") from None
        if not piece:
            return
        yield piece

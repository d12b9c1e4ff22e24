"""The body of a streamed answer, read from aiohttp without what lies between.

The `openai` client hands out bytes through five layers of generators, and aiohttp's reader
asks its transport to go on with every read, paused or not: together they cost more than all
the rest of a token's way in. Both are passed by here, by private names of the two packages;
where those are not as they were, the client's own way is taken, and a test says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from openai import AsyncAPIResponse

Read = Callable[[], Awaitable[bytes]]


class _Flow:
    """An aiohttp connection, as its reader sees it: told to go on only where it was paused."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.pause_reading = connection.pause_reading

    @property
    def connected(self) -> bool:
        connected: bool = self._connection.connected
        return connected

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._connection._reading_paused:
            self._connection.resume_reading(resume_parser)


def reader(response: AsyncAPIResponse[Any]) -> Read:
    """What reads on in the answer; it gives no bytes at the end. To be called once."""
    body = getattr(response.http_response.stream, "_stream", None)
    found = getattr(body, "_aiohttp_response", None)
    if not isinstance(found, aiohttp.ClientResponse) or "content-encoding" in found.headers:
        chunks = response.iter_bytes()
        return lambda: anext(chunks, b"")
    content: Any = found.content
    if hasattr(getattr(content, "_protocol", None), "_reading_paused"):
        content._protocol = _Flow(content._protocol)
    read: Read = content.readany
    return read

"""The body of a streamed answer, read from aiohttp without what lies between.

The `openai` client hands out bytes through five layers of generators, and aiohttp's reader
keeps the borders of chunks and two counts of bytes that nobody here asks for: together they
cost more than all the rest of a token's way in. Both are passed by here, by private names of
the two packages; where those are not as they were, the client's own way is taken, and a test
says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from openai import AsyncAPIResponse

Read = Callable[[], Awaitable[bytes]]


class Body(aiohttp.StreamReader):
    """What the parser feeds, and `readany` empties. The parser makes it as aiohttp's own class,
    so an object is given this class once it is there. The connection is paused above aiohttp's
    limit, and told to go on only where it was paused."""

    __slots__ = ()

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        if data:
            self._buffer.append(data)
            self._size += len(data)
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            if self._size > self._high_water:
                self._protocol.pause_reading()
        return False

    def begin_http_chunk_receiving(self) -> None:
        pass

    def end_http_chunk_receiving(self) -> None:
        pass

    async def readany(self) -> bytes:
        """All that is there, or comes next; nothing at the end."""
        buffer = self._buffer
        while not buffer:
            if self._exception is not None:
                raise self._exception
            if self._eof:
                return b""
            self._waiter = self._loop.create_future()
            await self._waiter
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._size = 0
        if self._protocol._reading_paused:
            self._protocol.resume_reading()
        return data


def reader(response: AsyncAPIResponse[Any]) -> Read:
    """What reads on in the answer; it gives no bytes at the end. To be called once."""
    body = getattr(response.http_response.stream, "_stream", None)
    found = getattr(body, "_aiohttp_response", None)
    if not isinstance(found, aiohttp.ClientResponse) or "content-encoding" in found.headers:
        chunks = response.iter_bytes()
        return lambda: anext(chunks, b"")
    content = found.content
    known = ("_buffer", "_size", "_high_water", "_waiter", "_exception", "_eof", "_loop")
    if (
        type(content) is aiohttp.StreamReader
        and all(hasattr(content, name) for name in known)
        and hasattr(content._protocol, "_reading_paused")
        and not content._buffer_offset
    ):
        content.__class__ = Body
    return content.readany

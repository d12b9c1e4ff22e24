"""The body of a request that holds files, in pieces.

A file of some megabytes would hold up every session while one call turns it into JSON. Its Base64
needs no escapes, so the JSON is made around it, and it goes out piece by piece.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from ..protocol import to_json
from . import Media

PIECE = 64 * 1024


class Payload:
    """The JSON of a body in which each file stands as its `Media`. `length` in bytes."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._mark = uuid4().hex
        self._files: list[Media] = []
        self._around = to_json(self._lifted(body)).split(self._mark.encode())
        files = sum(len(file.data) for file in self._files)
        self.length = sum(map(len, self._around)) + files

    def _lifted(self, value: Any) -> Any:
        """The value with a mark in place of each file."""
        match value:
            case Media():
                self._files.append(value)
                return f"data:{value.type};base64,{self._mark}"
            case dict():
                return {key: self._lifted(item) for key, item in value.items()}
            case list():
                return [self._lifted(item) for item in value]
            case _:
                return value

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self._around[0]
        for file, behind in zip(self._files, self._around[1:], strict=True):
            for start in range(0, len(file.data), PIECE):
                yield file.data[start : start + PIECE].encode()
            yield behind

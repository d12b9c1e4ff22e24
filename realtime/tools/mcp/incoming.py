"""What a server writes that is no JSON-RPC by the letter, taken for what it was meant to be.

A text that was cut in the middle of an emoji, an error without a number, a result that is no
object, several answers in a list: the call was made all the same, and nobody should wait for
its deadline to hear of it.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterator
from typing import Any

import pydantic
from mcp.shared.message import SessionMessage
from mcp.types import ErrorData, JSONRPCError, JSONRPCResponse

from ...protocol import clean, clean_text

logger = logging.getLogger(__name__)


class Incoming:
    """The messages of a stream of the SDK, with those mended that it could not read."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name
        self._told = False
        self._mended: deque[SessionMessage] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aenter__(self) -> Incoming:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *why: Any) -> None:
        await self._stream.__aexit__(*why)

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while not self._mended:
            item: SessionMessage | Exception = await self._stream.__anext__()
            if not isinstance(item, pydantic.ValidationError):
                return item
            self._mended.extend(mended(item))
            if not self._mended and not self._told:
                self._told = True
                logger.info(
                    "MCP server %s writes lines that are not protocol messages; they are ignored "
                    "(logged once)",
                    self._name,
                )
        return self._mended.popleft()


def mended(error: pydantic.ValidationError) -> Iterator[SessionMessage]:
    """The answers in what could not be read; none in what is no answer."""
    raw = error.errors(include_url=False)[0]["input"]  # all of it, whichever error is the first
    try:
        found = clean(json.loads(raw) if isinstance(raw, str | bytes) else raw)
    except (ValueError, RecursionError):
        return
    for item in found if isinstance(found, list) else [found]:
        if not isinstance(item, dict) or "method" in item:
            continue
        request_id = item.get("id")
        if isinstance(request_id, int | str) and not isinstance(request_id, bool):
            yield SessionMessage(_answer(request_id, item))


def _answer(request_id: int | str, item: dict[str, Any]) -> JSONRPCResponse | JSONRPCError:
    if (error := item.get("error")) is not None:
        known = error if isinstance(error, dict) else {"message": error}
        code, said, data = known.get("code"), known.get("message"), known.get("data")
        told = ErrorData(
            code=code if type(code) is int else 0,
            message=clean_text(said if isinstance(said, str) else json.dumps(said or error)),
            data=data,
        )
        return JSONRPCError(jsonrpc="2.0", id=request_id, error=told)
    result = item.get("result")
    if not isinstance(result, dict):
        result = {"content": [] if result is None else result}
    return JSONRPCResponse(jsonrpc="2.0", id=request_id, result=result)

"""Calls that the model's provider makes, as the log keeps them. Nothing is run here."""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode
from typing import Any

from msgspec.structs import replace

from ..models import HostedCall, Media
from ..protocol import MAX_ARGUMENTS, Error, ToolCall, clean, clean_text, to_json
from ..tools import NewFile, ToolError, written

STEP = 4 * 64 * 1024  # a multiple of four


def hosted_call(item: HostedCall, tool_call_id: str, message_id: str) -> ToolCall:
    return ToolCall(
        tool_call_id=tool_call_id,
        name=clean_text(item.name)[:128],
        status=item.status,
        message_id=message_id,
        arguments=_arguments(item.arguments),
        output=None if item.output is None else _output(item.output),
        error=Error("tool_error", clean_text(item.error)[:2000]) if item.error else None,
        hosted=True,
    )


def ended_unheard(call: ToolCall, *, whole: bool) -> ToolCall:
    """A call whose end the provider did not tell, behind its answer; `whole`: it said all."""
    if whole:
        return replace(call, status="completed")
    unknown = Error("unknown_outcome", "the answer ended before this call did")
    return replace(call, status="failed", error=unknown)


async def new_file(made: Media) -> NewFile | None:
    """A file that the provider made, as those of tools are; None where it cannot be read."""
    try:
        return NewFile(made.name, made.type, await asyncio.to_thread(_from_base64, made.data))
    except (binascii.Error, ValueError):
        return None


def _from_base64(data: str) -> bytes:
    """In pieces, since one call over megabytes would hold up every thread."""
    starts = range(0, len(data), STEP)
    return b"".join([b64decode(data[start : start + STEP], validate=True) for start in starts])


def _arguments(value: Any) -> Any:
    data = to_json(value := clean(value))
    if len(data) <= MAX_ARGUMENTS:
        return value
    return data[: MAX_ARGUMENTS // 8].decode(errors="ignore") + "…"


def _output(value: Any) -> Any:
    try:
        return written(value).value
    except ToolError as error:
        return str(error)

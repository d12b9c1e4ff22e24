"""What a client says came of a tool call, as the log takes it."""

from __future__ import annotations

from typing import Any

import msgspec

from ..protocol import ClientResult, Error, ProtocolError
from ..tools import ToolError, error_value, written


def answer_of(command: ClientResult) -> tuple[Any, Error | None]:
    """The output and the error, one of them None; bounded as those of any tool. Raises
    `bad_request`."""
    if (command.output is msgspec.UNSET) == (command.error is None):
        raise ProtocolError("bad_request", "give either output or error; output may be null")
    if given := command.error:
        return None, error_value(ToolError(given.message, given.code))
    try:
        return written(command.output).value, None
    except ToolError as error:
        raise ProtocolError("bad_request", f"output: {error}") from None

"""What the end of a run makes of its open calls and of its text."""

from __future__ import annotations

from typing import Any

import msgspec

from ..protocol import MAX_DONE, MAX_DONE_TEXT, DoneStatus, Error, ToolCall, to_json
from .answer import Answer


def closed(call: ToolCall, status: DoneStatus) -> ToolCall:
    """An open call when its run ends so: one that a crash cut off may have had its effect."""
    lost = call.status == "running" and status == "interrupted"
    unknown = Error("unknown_outcome", "the call was under way when the run ended")
    return msgspec.structs.replace(
        call, status="failed" if lost else "cancelled", error=unknown if lost else None
    )


def repeated(answer: Answer, value: Any) -> tuple[str | None, Any]:
    """The text that `done` repeats, and the value: each is left out where it is long, and the text
    where both are. Then they are read from the tokens only."""
    text: str | None = answer.text()
    size, whole = len(to_json(text)), 0 if value is msgspec.UNSET else len(to_json(value))
    if whole > MAX_DONE_TEXT:
        value, whole = msgspec.UNSET, 0
    return (text if size <= MAX_DONE_TEXT and size + whole <= MAX_DONE else None), value

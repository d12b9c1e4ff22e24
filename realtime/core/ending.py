"""What the end of a run makes of its open calls and of its text."""

from __future__ import annotations

import msgspec

from ..protocol import MAX_DONE_TEXT, DoneStatus, Error, ToolCall, to_json
from .answer import Answer


def closed(call: ToolCall, status: DoneStatus) -> ToolCall:
    """An open call when its run ends so: one that a crash cut off may have had its effect."""
    lost = call.status == "running" and status == "interrupted"
    unknown = Error("unknown_outcome", "the call was under way when the run ended")
    return msgspec.structs.replace(
        call, status="failed" if lost else "cancelled", error=unknown if lost else None
    )


def fitting_text(answer: Answer) -> str | None:
    """The text that `done` repeats; none where it is long, and read from the tokens only."""
    text = answer.text()
    return text if len(to_json(text)) <= MAX_DONE_TEXT else None

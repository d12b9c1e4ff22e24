"""A log line for the end of each run, and of each tool call, which is counted with it. None has a
word of what was said."""

from __future__ import annotations

import logging

from ..core.state import RunState
from ..core.user import User
from ..protocol import OPEN_TOOL, Done, ToolCall
from .count import RunCount

SHOWN = 20
"""Characters of an attribute that a line shows."""

logger = logging.getLogger(__name__)


def run_ended(
    session_id: str, run: RunState, done: Done, first_token_ms: int | None, asker: User
) -> None:
    """`reason`: the code of its error, or its finish reason. `ms`: from its start on."""
    about = {
        "session_id": session_id,
        "run_id": run.run_id,
        "user_id": run.asker,
        "model": done.model,
        "status": done.status,
        "reason": done.error.code if done.error else done.finish_reason,
        "ms": done.duration_ms,
        "input_tokens": done.usage.input_tokens,
        "output_tokens": done.usage.output_tokens,
    }
    if first_token_ms is not None:
        about["first_token_ms"] = first_token_ms
    if attributes := shown(asker):
        about["attributes"] = attributes
    level = logging.WARNING if done.status in ("failed", "quota_exceeded") else logging.INFO
    logger.log(level, "run ended: %s", done.status, extra=about)


def shown(user: User) -> dict[str, object]:
    """The attributes that are numbers, flags or short texts: a longer one may be a secret."""
    return {
        name: value
        for name, value in user.attributes.items()
        if is_short(value) and f"{name}{value}".isprintable()
    }


def is_short(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= SHOWN)


class CallLog:
    """The calls of one session."""

    def __init__(self, session_id: str, count: RunCount) -> None:
        self._session_id = session_id
        self._count = count
        self._begun: dict[str, int] = {}  # when a call was made, ms; of those under way

    def told(self, call: ToolCall, run: RunState) -> None:
        """Something is news of a call. `ms`: from when it was let run; 0 where it never was."""
        if call.status == "running":
            self._begun.setdefault(call.tool_call_id, call.ts)
        if call.status in OPEN_TOOL or call.hosted:
            return
        begun = self._begun.pop(call.tool_call_id, None)
        ms = 0 if begun is None else call.ts - begun
        self._count.called(call.name, call.status, None if begun is None else ms / 1000)
        about = {
            "session_id": self._session_id,
            "run_id": run.run_id,
            "user_id": run.asker,
            "tool": call.name,
            "status": call.status,
            "ms": ms,
        }
        if call.error:
            about["reason"] = call.error.code
        logger.info("tool call ended: %s", call.status, extra=about)

"""What a person's decision makes of a call that waits for one."""

from __future__ import annotations

import msgspec

from ..protocol import Approval, Approve, Error, ProtocolError, ToolCall, clean_text


def decided(call: ToolCall, asked: Approval, command: Approve, user_id: str, now: int) -> ToolCall:
    """The call after this user's decision on it.

    Raises `already_resolved`, `expired`, `already_done`.
    """
    if asked.decision:
        raise ProtocolError(
            "already_resolved",
            f"{asked.decided_by} said {asked.decision}",
            decision=asked.decision,
            decided_by=asked.decided_by or "",
        )
    if call.status == "cancelled":
        raise ProtocolError("already_done", "the run has ended")
    if call.status != "awaiting_approval" or now >= asked.expires_at:
        raise ProtocolError("expired", "nobody decided in time; the call was not made")
    error = None
    reason = clean_text(command.reason) if command.reason else None
    if command.decision == "deny":
        why = f": {reason}" if reason else " and gave no reason"
        error = Error("denied", f"a person denied this call{why}")
    return msgspec.structs.replace(
        call,
        status="denied" if error else "running",
        approval=msgspec.structs.replace(
            asked, decision=command.decision, decided_by=user_id, reason=reason
        ),
        error=error,
    )


def expired(call: ToolCall) -> ToolCall:
    """The call after nobody decided on it in time."""
    error = Error("expired", "nobody decided in time, so this call was not run")
    return msgspec.structs.replace(call, status="expired", error=error)

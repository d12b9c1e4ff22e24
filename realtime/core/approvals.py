"""What people and devices make of a call that waits for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ..protocol import (
    MAX_ARGUMENTS,
    Approval,
    Approve,
    Error,
    ProtocolError,
    ToolCall,
    ToolStatus,
    clean_text,
    to_json,
)

Check = Callable[[str, dict[str, Any]], None]
"""Whether the tool of this name takes these arguments from a person. Raises `bad_request`."""


def decided(
    call: ToolCall, asked: Approval, command: Approve, user_id: str, now: int, check: Check
) -> ToolCall:
    """The call after this user's decision on it.

    Raises `already_resolved`, `expired`, `already_done`, `bad_request`, `too_large`.
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
    call = _edited(call, asked, command, user_id, check)
    approval = replace(
        call.approval or asked, decision=command.decision, decided_by=user_id, reason=reason
    )
    call = replace(call, approval=approval, error=error)
    if error:
        return replace(call, status="denied")
    return let_run(call, now)


def _edited(
    call: ToolCall, asked: Approval, command: Approve, user_id: str, check: Check
) -> ToolCall:
    """The call with the arguments that its approval brings, if any. What was asked for stays
    beside them, cut where both are long."""
    arguments = command.arguments
    if arguments is None or (command.decision == "approve" and arguments == call.arguments):
        return call
    if command.decision == "deny":
        raise ProtocolError("bad_request", "arguments go with an approval; to deny, leave them out")
    size = len(to_json(arguments))
    if size > MAX_ARGUMENTS:
        raise ProtocolError("too_large", f"arguments are longer than {MAX_ARGUMENTS} bytes as JSON")
    check(call.name, arguments)
    before = call.arguments
    if (data := to_json(before)) and size + len(data) > MAX_ARGUMENTS:
        before = data[: (MAX_ARGUMENTS - size) // 8].decode(errors="ignore") + "…"
    edited = replace(call, arguments=arguments)
    approval = replace(
        asked,
        arguments_hash=arguments_hash(edited),
        edited_by=user_id,
        asked_arguments=before,
    )
    return replace(edited, approval=approval)


def arguments_hash(call: ToolCall) -> str:
    """What an approval is bound to: SHA-256 of the tool's name and its arguments."""
    return hashlib.sha256(to_json([call.name, call.arguments])).hexdigest()


def let_run(call: ToolCall, now: int) -> ToolCall:
    """The call as it may begin: here, or in a client."""
    if call.client is None:
        return replace(call, status="running")
    client = replace(call.client, expires_at=now + call.client.timeout_ms)
    return replace(call, status="awaiting_client", client=client)


def answered(
    call: ToolCall | None, output: Any, error: Error | None, user_id: str, now: int
) -> ToolCall:
    """The call with what a device of this user says came of it.

    Raises `not_found`, `already_resolved`, `already_done`, `expired`.
    """
    if call is None or call.client is None or call.status == "awaiting_approval":
        raise ProtocolError("not_found", "no tool call with that id is waiting for a client")
    if by := call.client.answered_by:
        raise ProtocolError("already_resolved", f"a device of {by} answered", answered_by=by)
    if call.status in ("cancelled", "denied"):
        raise ProtocolError("already_done", f"the call was {call.status}")
    if call.status != "awaiting_client" or now >= call.client.expires_at:
        raise ProtocolError("expired", "no device answered in time")
    status: ToolStatus = "failed" if error else "completed"
    client = replace(call.client, answered_by=user_id)
    return replace(call, status=status, output=output, error=error, client=client)


def due(call: ToolCall) -> int:
    """Until when the call waits (ms)."""
    waits = call.approval if call.status == "awaiting_approval" else call.client
    assert waits
    return waits.expires_at


def let_on(call: ToolCall) -> bool:
    """Whether somebody, or the time, has just said what becomes of a call that waited."""
    if call.client:
        return call.status != "awaiting_approval"
    return call.approval is not None and call.status in ("running", "denied", "expired")


def expired(call: ToolCall) -> ToolCall:
    """The call after nobody decided on it, or no device answered, in time."""
    error = Error("expired", "nobody decided in time, so this call was not run")
    if call.status == "awaiting_client":
        error = Error("expired", "no device answered in time; one may have run it all the same")
    return replace(call, status="expired", error=error)

"""Why a session cannot be reached."""

from __future__ import annotations

from ..protocol import ProtocolError


def not_yours() -> ProtocolError:
    return ProtocolError("not_found", "no such session of yours; leave out session_id to begin one")


def held_elsewhere(retry_after_ms: int) -> ProtocolError:
    return ProtocolError(
        "busy",
        "another server holds this session just now; try again",
        retryable=True,
        retry_after_ms=retry_after_ms,
    )


def storage_unavailable() -> ProtocolError:
    return ProtocolError(
        "storage_unavailable",
        "nothing can be stored right now; try again",
        retryable=True,
        retry_after_ms=2000,
    )

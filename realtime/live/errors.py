"""Why a session cannot be reached, or begins nothing."""

from __future__ import annotations

from ..core.rows import Deleted, StorageError
from ..protocol import ProtocolError

RETRY_MS = 3000
"""When to come back to a server that is restarting or full."""


def draining() -> ProtocolError:
    return ProtocolError(
        "draining",
        "the server is restarting; try again shortly",
        retryable=True,
        retry_after_ms=RETRY_MS,
    )


def not_yours() -> ProtocolError:
    return ProtocolError("not_found", "you have no such session; omit session_id to start one")


def held_elsewhere(retry_after_ms: int) -> ProtocolError:
    return ProtocolError(
        "busy",
        "another server holds this session; try again shortly",
        retryable=True,
        retry_after_ms=retry_after_ms,
    )


def refused(why: StorageError) -> ProtocolError:
    """What a command is told that could not be stored."""
    return not_yours() if isinstance(why, Deleted) else storage_unavailable()


def storage_unavailable(
    why: str = "the server cannot store anything right now",
) -> ProtocolError:
    return ProtocolError(
        "storage_unavailable",
        f"{why}; try again shortly",
        retryable=True,
        retry_after_ms=2000,
    )

"""What clients are told of an error: in an ack, or over HTTP with the status of its code."""

from __future__ import annotations

import logging
from math import ceil
from typing import Any
from uuid import uuid4

from aiohttp import web

from ..auth import AuthError
from ..core.rows import StorageError
from ..live.errors import RETRY_MS, refused
from ..protocol import ErrorCode, ProtocolError, to_json

STATUS: dict[ErrorCode, int] = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "already_done": 409,
    "already_resolved": 409,
    "expired": 410,
    "too_large": 413,
    "queue_full": 429,
    "quota_exceeded": 429,
    "rate_limited": 429,
    "internal": 500,
    "busy": 503,
    "draining": 503,
    "overloaded": 503,
    "storage_unavailable": 503,
}
"""Of HTTP, by code."""

REFUSED: dict[int, ErrorCode] = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    413: "too_large",
}
"""What aiohttp refuses, by status; with any other one it is a `bad_request`."""

KEPT = {"Allow", "Content-Range"}
"""Headers that belong to a refusal of aiohttp's."""

Ack = dict[str, Any]
logger = logging.getLogger(__name__)


def overloaded() -> ProtocolError:
    return ProtocolError(
        "overloaded",
        "the server is full; try again later",
        retryable=True,
        retry_after_ms=RETRY_MS,
    )


def as_protocol(error: Exception, what: str) -> ProtocolError:
    """The error in the protocol's words. A fault of ours, in a `what`, is logged under the id
    that the client is told."""
    if isinstance(error, ProtocolError):
        return error
    if isinstance(error, AuthError):
        return ProtocolError("unauthorized", str(error), retryable=error.retryable)
    if isinstance(error, StorageError):
        return refused(error)
    request_id = uuid4().hex[:12]
    logger.error("%s failed", what, exc_info=error, extra={"request_id": request_id})
    return ProtocolError("internal", f"internal error; request {request_id}")


def refusal(error: Exception) -> Ack:
    """The ack of a command that failed."""
    return {"ok": False, "error": as_protocol(error, "command").payload()}


def response(error: Exception) -> web.Response:
    """The answer to an HTTP request that failed."""
    if isinstance(error, web.HTTPException):
        code = REFUSED.get(error.status, "bad_request" if error.status < 500 else "internal")
        answer = rendered(ProtocolError(code, error.reason.lower()), error.status)
        answer.headers.update((name, it) for name, it in error.headers.items() if name in KEPT)
        return answer
    refused = as_protocol(error, "request")
    return rendered(refused, STATUS[refused.code])


def rendered(error: ProtocolError, status: int) -> web.Response:
    """An error as JSON, under a status."""
    answer = web.json_bytes_response({"error": error.payload()}, dumps=to_json, status=status)
    if error.retry_after_ms is not None:
        answer.headers["Retry-After"] = str(ceil(error.retry_after_ms / 1000))
    return answer

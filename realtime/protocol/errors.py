"""Errors: the codes, what a client is sent, and what is raised for it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

ErrorCode = Literal[
    "bad_request",
    "too_large",
    "unauthorized",
    "forbidden",
    "not_found",
    "busy",
    "queue_full",
    "conflict",
    "rate_limited",
    "quota_exceeded",
    "already_done",
    "already_resolved",
    "expired",
    "draining",
    "overloaded",
    "storage_unavailable",
    "internal",
]


class Error(msgspec.Struct, omit_defaults=True):
    """What went wrong, for a program (`code`) and for a person (`message`)."""

    code: str
    message: str
    retryable: bool = msgspec.field(default=False)
    retry_after_ms: int | None = None


class ProtocolError(Exception):
    """Raised wherever a command cannot be carried out; becomes `{"ok": false, "error"}`."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retryable: bool = False,
        retry_after_ms: int | None = None,
        **more: str,
    ) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms
        self.more = more  # further fields of the error

    def error(self) -> Error:
        return Error(self.code, self.message, self.retryable, self.retry_after_ms)

    def payload(self) -> dict[str, Any]:
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            **self.more,
        }
        if self.retry_after_ms is not None:
            error["retry_after_ms"] = self.retry_after_ms
        return error

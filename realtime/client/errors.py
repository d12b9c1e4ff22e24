"""What goes wrong for a client: exceptions with the codes of PROTOCOL.md, and a few more."""

from __future__ import annotations

from typing import Any


class CommandError(Exception):
    """A command failed. `code`: for a program; `retryable`: whether the same may succeed later,
    after `retry_after_ms` where that is known; `details`: what else the server said of it."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after_ms: int | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms
        self.details = details


class CommandRefused(CommandError):
    """The server said no. `code` is one of PROTOCOL.md's."""


class ServerUnreachable(CommandError):
    """There was no answer. `code`: `unreachable` where no connection comes about, or what the
    server said instead of one; `offline` without a connection, `timeout` without an answer,
    `no_token` where the function that gives tokens failed."""


class NotSent(CommandError):
    """The client gave a command up. `code`: `too_large`, `broken` where the connection broke again
    and again, `dropped` where the session was left or closed."""


def refused(error: dict[str, Any]) -> CommandRefused:
    """As the server put it."""
    known = {"code": "internal", "message": "The server gave no reason.", **error}
    return CommandRefused(**known)


def unreachable(message: str, **more: Any) -> ServerUnreachable:
    """It may be reachable later."""
    details = {"code": "unreachable", **more, "message": message, "retryable": True}
    return ServerUnreachable(**details)


def offline(**more: Any) -> ServerUnreachable:
    return unreachable("There is no connection at the moment.", code="offline", **more)


def timed_out() -> ServerUnreachable:
    return unreachable("The server did not answer in time.", code="timeout")

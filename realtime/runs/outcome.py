"""How a run ended: what its model's last words, or its failure, mean for the user."""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.provider_state import ProviderState
from ..core.state import FILTERED
from ..models import Finished, ModelError
from ..protocol import DoneStatus, Error, ErrorCode, FinishReason, Usage
from .chain import BUDGET_S, Wait

PAUSE_S = 1.0  # before the server goes on by itself

_PASSING = frozenset({"rate_limited", "unavailable", "timeout", "cut", "malformed"})

# For users: neutral, without anything of the provider's. The operator reads the log.
_WORDS = {
    "rate_limited": "the model is busy; try again shortly",
    "unauthorized": "the model is not set up correctly; the operator has been told",
    "not_found": "the model is not set up correctly; the operator has been told",
    "context_overflow": "the conversation is too long for the model",
    "content_filter": "the model's provider refused this message; rephrase it",
    "bad_request": "the model refused the request",
    "unavailable": "the model cannot be reached; try again shortly",
    "timeout": "the model did not answer in time",
    "cut": "the model's answer broke off",
    "malformed": "the model's answer could not be read",
}


class Outcome(msgspec.Struct):
    """How a run ended; becomes its `done`. `again`: the server may go on with the answer by itself,
    after so long."""

    status: DoneStatus
    reason: FinishReason
    usage: Usage | None = None
    error: Error | None = None
    state: ProviderState | None = None
    value: Any = msgspec.UNSET
    again: Wait | None = None


def interrupted(why: str) -> Outcome:
    """This server broke the answer off: it may go on at once."""
    error = Error("interrupted", why, retryable=True)
    return Outcome("interrupted", "error", error=error, again=Wait("cut", 0))


def ending(finished: Finished, usage: Usage | None) -> Outcome:
    if finished.reason == "length":
        return Outcome("incomplete", "length", usage)
    if finished.reason == "content_filter":
        return Outcome("incomplete", "content_filter", usage)
    return Outcome("completed", "stop", usage)


def failed(error: ModelError, usage: Usage | None, *, spoke: bool) -> Outcome:
    if error.kind == "quota":
        return Outcome(
            "quota_exceeded",
            "error",
            usage,
            Error("quota_exceeded", "the model's quota is used up", retryable=True),
        )
    if error.kind == "content_filter":
        what = None if spoke else Error(FILTERED, _WORDS[error.kind])
        return Outcome("incomplete", "content_filter", usage, what)
    broke_off = error.kind == "cut" or (spoke and error.kind in _PASSING)
    status: DoneStatus = "interrupted" if broke_off else "failed"
    wait = error.retry_after_s
    code: ErrorCode | str = "interrupted" if broke_off else f"model_{error.kind}"
    pause = PAUSE_S if wait is None else wait
    again = Wait(error.kind, pause) if broke_off and spoke and pause <= BUDGET_S else None
    return Outcome(
        status,
        "error",
        usage,
        Error(
            code,
            _WORDS[error.kind],
            retryable=error.kind in _PASSING,
            retry_after_ms=wait if wait is None else round(wait * 1000),
        ),
        again=again,
    )

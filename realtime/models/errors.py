"""What a provider's error means for us: one table, for HTTP answers and for streams.

Providers echo keys and users' texts in their messages, so no word of theirs is
passed on: only the code, when it looks like one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from realtime.models import ErrorKind, ModelError

_KINDS: dict[str, ErrorKind] = {
    # Waiting does not help against these; they come as 429, too.
    "insufficient_quota": "quota",
    "credit_balance_exhausted": "quota",
    "organization_spend_limit_exceeded": "quota",
    "project_spend_limit_exceeded": "quota",
    "organization_usage_limit_exceeded": "quota",
    "rate_limit_exceeded": "rate_limited",
    "rate_limit_error": "rate_limited",
    "slow_down": "rate_limited",
    "context_length_exceeded": "context_overflow",
    "exceed_context_size_error": "context_overflow",  # llama.cpp
    "invalid_api_key": "unauthorized",
    "authentication_error": "unauthorized",
    "permission_error": "unauthorized",
    "model_not_found": "not_found",
    "not_found_error": "not_found",
    "invalid_prompt": "bad_request",
    "data_residency_mismatch": "bad_request",
    "bio_policy": "bad_request",
    "misalignment_policy_violation": "bad_request",
    "invalid_request_error": "bad_request",
    "server_error": "unavailable",
    "internal_error": "unavailable",
    "overloaded_error": "unavailable",
    "timeout": "timeout",
}

_MEANING: dict[ErrorKind, str] = {
    "quota": "The provider's account is out of credit or over its spending limit.",
    "rate_limited": "The provider limits the rate of requests.",
    "unauthorized": "The provider does not accept the API key for this model.",
    "not_found": "The provider does not know this model or address.",
    "context_overflow": "The conversation is longer than the model can read.",
    "bad_request": "The provider refused the request.",
    "unavailable": "The provider cannot be reached or is failing.",
    "timeout": "The provider did not answer in time.",
    "cut": "The provider's answer broke off.",
    "malformed": "The provider's answer was not what the API promises.",
}

_OVERFLOW = re.compile(r"context (length|window|size)|maximum context", re.IGNORECASE)
_CODE = re.compile(r"[a-z][a-z0-9_]{1,63}", re.IGNORECASE)


def failure(
    kind: ErrorKind,
    *,
    code: str | None = None,
    status: int | None = None,
    retry_after_s: float | None = None,
) -> ModelError:
    """The error of this kind, in our words."""
    details = [f"HTTP {status}"] if status else []
    if code:
        details.append(code)
    message = _MEANING[kind] + (f" ({', '.join(details)})" if details else "")
    return ModelError(kind, message, retry_after_s=retry_after_s, code=code)


def broken(finish_reason: str) -> ModelError:
    """The answer ended for a reason that does not mean that it is whole."""
    error = failure("cut")
    error.detail = f"finish reason {finish_reason[:80]!r}"
    return error


def from_status(status: int, headers: Mapping[str, str], body: object) -> ModelError:
    """The error of an HTTP answer that is not a success; `body` is its JSON, if any."""
    code, by_code = _read(body)
    by_status = _kind_of_status(status)
    # A code that only says "this is a client error" must not hide a telling status.
    kind = by_status if by_code in (None, "bad_request") else by_code
    passing = kind in ("rate_limited", "unavailable")
    wait = retry_after(headers) if passing else None
    error = failure(kind, code=code, status=status, retry_after_s=wait)
    error.param = _param(body)
    return error


def from_payload(body: object) -> ModelError:
    """The error that a provider reports inside a stream, nested or flat."""
    code, kind = _read(body)
    return failure(kind or "unavailable", code=code)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `retry-after-ms`, or `Retry-After` as a number or an HTTP date."""
    if exact := _number(headers.get("retry-after-ms")):
        return exact / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is None:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        seconds = date.timestamp() - time.time()
    return max(0.0, seconds)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else None
    except ValueError:
        return None
    # `nan` and `inf` are floats, too; nobody can wait for them.
    return number if number is not None and abs(number) < 1e9 else None


def _read(body: object) -> tuple[str | None, ErrorKind | None]:
    """Code and kind of an error object, however deep the provider wrapped it."""
    error: Any = body
    while isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    if isinstance(error, dict) and isinstance(error.get("error"), str):
        error = {"message": error["error"], **error}
    if not isinstance(error, dict):
        return None, None
    names = [error.get("code"), error.get("type")]
    words = [n for n in names if isinstance(n, str) and _CODE.fullmatch(n) and n != "error"]
    code = words[0] if words else None
    kinds = [_KINDS[word] for word in words if word in _KINDS]
    if "quota" in kinds:
        return code, "quota"
    if kinds and kinds[0] != "bad_request":
        return code, kinds[0]
    message = error.get("message")
    if isinstance(message, str) and _OVERFLOW.search(message):
        return code, "context_overflow"
    if kinds:
        return code, kinds[0]
    status = names[0]
    if isinstance(status, str) and status.isdecimal():
        status = int(status[:3])
    if isinstance(status, int) and 400 <= status < 600:
        return code, _kind_of_status(status)
    return code, None


def _param(body: object) -> str | None:
    error = body
    while isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    param = error.get("param") if isinstance(error, dict) else None
    return param if isinstance(param, str) else None


def _kind_of_status(status: int) -> ErrorKind:
    match status:
        case 401 | 403:
            return "unauthorized"
        case 402:
            return "quota"
        case 404:
            return "not_found"
        case 408:
            return "timeout"
        case 429:
            return "rate_limited"
        case _ if status >= 500:
            return "unavailable"
        case _ if status >= 400:
            return "bad_request"
        case _:
            return "malformed"

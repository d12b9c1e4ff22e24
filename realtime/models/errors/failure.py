"""An error in our own words."""

from __future__ import annotations

from .. import ErrorKind, ModelError

MEANING: dict[ErrorKind, str] = {
    "quota": "The provider's account is out of credit or over its spending limit.",
    "rate_limited": "The provider limits the rate of requests.",
    "unauthorized": "The provider does not accept the API key for this model.",
    "not_found": "The provider does not know this model or address.",
    "context_overflow": "The conversation is longer than the model can read.",
    "content_filter": "The provider's filter refused the request.",
    "bad_request": "The provider refused the request.",
    "unavailable": "The provider cannot be reached or is failing.",
    "timeout": "The provider did not answer in time.",
    "cut": "The provider's answer broke off.",
    "malformed": "The provider's answer was not what the API promises.",
}


def failure(
    kind: ErrorKind,
    *,
    code: str | None = None,
    status: int | None = None,
    retry_after_s: float | None = None,
    param: str | None = None,
    detail: str = "",
) -> ModelError:
    """The error of this kind, in our words."""
    notes = [f"HTTP {status}"] if status else []
    if code:
        notes.append(code)
    message = MEANING[kind] + (f" ({', '.join(notes)})" if notes else "")
    return ModelError(
        kind, message, retry_after_s=retry_after_s, code=code, param=param, detail=detail
    )

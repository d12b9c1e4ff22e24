"""The error of an answer that came."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from .. import ErrorKind, ModelError
from . import kinds, params, words
from .body import Said, read, seconds
from .failure import failure

_PASSING = ("rate_limited", "unavailable")
_MAY_REFUSE = ("bad_request", "unavailable", "not_found")
"""The kinds that a refused field hides behind."""
_BACK_IN = re.compile(
    r"\b(?:try again|retry)(?: \w+){0,3} (?:in|after) ((?:\d[\d.]* ?(?:ms|[hms])[a-z]* ?)+)",
    re.IGNORECASE,
)


def from_status(status: int, headers: Mapping[str, str], body: object) -> ModelError:
    """The error of an HTTP answer that is not a success; `body` is its JSON or its text."""
    said = read(body)
    if status == 407:
        said.texts.insert(0, "a proxy asks for a user and a password")
    return _judge(said, status, headers)


def from_payload(body: object) -> ModelError:
    """The error that a provider reports inside a stream, nested or flat."""
    return _judge(read(body), None, {})


def _judge(said: Said, status: int | None, headers: Mapping[str, str]) -> ModelError:
    param = params.refused(said)
    kind: ErrorKind = "bad_request"
    if not param:
        kind = kinds.kind_of(said, status) or kinds.vague_kind(said, status) or "unavailable"
        if kind in _MAY_REFUSE and (param := params.guessed(said, sure=kind != "bad_request")):
            kind = "bad_request"
    wait = retry_after(headers)
    if wait is None:
        wait = said.wait_s if said.wait_s is not None else _back_in(said.text)
    return failure(
        kind,
        code=kinds.telling_code(said),
        status=status,
        retry_after_s=wait if kind in _PASSING else None,
        param=param,
        detail=words.detail(said.texts),
    )


def _back_in(text: str) -> float | None:
    found = _BACK_IN.search(text)
    if not found:
        return None
    # `2 minutes` and `2m` alike.
    return seconds(re.sub(r"(ms|[hms])[a-z]*| ", r"\1", found[1].lower()))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `retry-after-ms`, or `Retry-After` as a number or an HTTP date."""
    if exact := _number(headers.get("retry-after-ms")):
        return exact / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    wait = _number(value)
    if wait is None:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        wait = date.timestamp() - time.time()
    return max(0.0, wait)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else None
    except ValueError:
        return None
    # `nan` and `inf` are floats, too; nobody can wait for them.
    return number if number is not None and abs(number) < 1e9 else None

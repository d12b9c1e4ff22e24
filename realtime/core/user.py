"""A user, as tools and sign-ins know them."""

from __future__ import annotations

from typing import Any

import msgspec

from ..protocol import clean, clean_name, to_json

MAX_ATTRIBUTES = 8 * 1024
"""Bytes of a user's attributes as JSON."""


class BadAttributes(ValueError):
    """The attributes of a user are no JSON object, or too large. The message quotes none."""


class User(msgspec.Struct, frozen=True):
    """Somebody who signed in, or a guest. `user_id`: as the sign-in gives it, never empty.
    `exp`: seconds since the Unix epoch at which their token is no longer good; None: never.
    `name`: what others see of them, cleaned and at most 64 characters. Anybody may have any name:
    decide nothing by it. `attributes`: what else the sign-in knows, such as a plan; a JSON object
    of at most 8 KB, which is copied. It is not stored, and no client is told.

    Raises `BadAttributes`."""

    user_id: str
    exp: int | None = None
    name: str | None = None
    attributes: dict[str, Any] = {}

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "name", clean_name(self.name))
        if self.attributes != {}:
            msgspec.structs.force_setattr(self, "attributes", _as_json(self.attributes))


def _as_json(given: Any) -> dict[str, Any]:
    """A copy of a JSON object. Raises `BadAttributes`."""
    try:
        text = to_json(given)
        found = msgspec.json.decode(text)
    except (TypeError, ValueError, RecursionError):
        raise BadAttributes("the attributes of a User must be a JSON object") from None
    if not isinstance(found, dict):
        raise BadAttributes("the attributes of a User must be a JSON object")
    if len(text) > MAX_ATTRIBUTES:
        raise BadAttributes(
            f"the attributes of a User have {len(text)} bytes as JSON, of {MAX_ATTRIBUTES} that "
            "they may have: keep there what identifies the rest, and look that up"
        )
    cleaned: dict[str, Any] = clean(found)
    return cleaned

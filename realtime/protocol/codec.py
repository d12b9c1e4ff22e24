"""Payloads from JSON and to JSON: commands are validated, events are encoded once for all."""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

import msgspec

from .errors import ProtocolError
from .events import EVENT_NAMES, EVENTS, Event
from .sizes import MAX_DEPTH, MAX_DIGITS
from .text import clean

TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"
TOO_LONG = f"an integer has more than {MAX_DIGITS} digits"

_encoder = msgspec.json.Encoder()
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in EVENTS.items()}
to_json = _encoder.encode

_MOST, _LEAST = int("9" * MAX_DIGITS), int("-" + "9" * (MAX_DIGITS - 1))

C = TypeVar("C", bound=msgspec.Struct)


def decode(kind: type[C], data: object) -> C:
    """Validate what a client sent, such as a command. Raises `ProtocolError("bad_request")`."""
    try:
        return msgspec.convert(readable(data) if data is not None else {}, kind)
    except msgspec.ValidationError as error:
        raise ProtocolError("bad_request", f"{error}. See PROTOCOL.md.") from None
    except ValueError as error:
        raise ProtocolError("bad_request", f"the payload cannot be read: {error}") from None


def from_json(text: str) -> Any:
    """A value from JSON that others wrote, `readable`. Raises ValueError, which says why not."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except ValueError:  # more digits than Python reads
        raise ValueError(TOO_LONG) from None
    return readable(value)


def readable(value: Any) -> Any:
    """A JSON value as every client can read it, with its texts cleaned. Raises ValueError, which
    says why none can."""
    _check(value, 0)
    return clean(value)


def _check(value: Any, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth == MAX_DEPTH:
            raise ValueError(TOO_DEEP)
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    elif type(value) is int and not is_short(value):
        raise ValueError(TOO_LONG)


def is_short(value: int) -> bool:
    """Whether an integer has at most 100 characters."""
    return _LEAST <= value <= _MOST


def decode_event(name: str, payload: bytes | str) -> Event:
    """The event of a stored payload. Raises `msgspec.DecodeError` on damage."""
    return _decoders[name].decode(payload)


def as_event(name: str, data: dict[str, Any]) -> Event:
    """The same of its fields. Raises `msgspec.DecodeError`."""
    return msgspec.convert(data, EVENTS[name])


def entry(event: Event) -> dict[str, Any]:
    """The event as it stands in `session.events` and `history.events`."""
    return {"event": EVENT_NAMES[type(event)], **msgspec.to_builtins(event)}

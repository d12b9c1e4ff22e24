"""Payloads from JSON and to JSON: commands are validated, events are encoded once for all."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from .errors import ProtocolError
from .events import EVENT_NAMES, EVENTS, Event
from .text import clean

_encoder = msgspec.json.Encoder()
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in EVENTS.items()}
to_json = _encoder.encode

C = TypeVar("C", bound=msgspec.Struct)


def decode(kind: type[C], data: object) -> C:
    """Validate what a client sent, such as a command. Raises `ProtocolError("bad_request")`."""
    try:
        return msgspec.convert(clean(data) if data is not None else {}, kind)
    except RecursionError:
        raise ProtocolError("bad_request", "the payload is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise ProtocolError("bad_request", f"{error}. See PROTOCOL.md.") from None


def decode_event(name: str, payload: bytes | str) -> Event:
    """The event of a stored payload. Raises `msgspec.DecodeError` on damage."""
    return _decoders[name].decode(payload)


def as_event(name: str, data: dict[str, Any]) -> Event:
    """The same of its fields. Raises `msgspec.DecodeError`."""
    return msgspec.convert(data, EVENTS[name])


def entry(event: Event) -> dict[str, Any]:
    """The event as it stands in `session.events` and `history.events`."""
    return {"event": EVENT_NAMES[type(event)], **msgspec.to_builtins(event)}

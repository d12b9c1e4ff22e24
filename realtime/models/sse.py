"""Server-sent events that carry JSON, decoded from raw bytes. No I/O.

The path of every token: bytes are split in bulk and no byte is looked at in Python.
"""

from __future__ import annotations

import json
import re
from typing import TypeVar

import msgspec

from . import ModelError
from .errors import from_payload

MAX_EVENT_BYTES = 4 * 1024 * 1024
"""A longer event is not a token any more; it would only fill our memory."""

_ONE_NAME = re.compile(rb"event: (?!error)[^\n]*\n")
BOM = b"\xef\xbb\xbf"

T = TypeVar("T")


class EventDecoder:
    """Cuts a byte stream into the `data` of its events, wherever the reads were cut.

    Comments, the other fields and events without data are dropped. `[DONE]` sets `done`; what
    follows it is ignored. `count` is the number of payloads given out, `[DONE]` included.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.done = False
        self.count = 0
        self._max = max_event_bytes
        self._rest = bytearray()
        self._after_cr = False
        self._begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that these bytes complete, in order. Raises `ModelError`."""
        if not self._begun:
            data = bytes(self._rest) + data
            self._rest.clear()
            if len(data) < len(BOM) and BOM.startswith(data):
                self._rest += data
                return []
            self._begun = True
            data = data.removeprefix(BOM)
        if self._after_cr and data:
            # The read before ended with CR, which ended the line already.
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self.done or not data:
            return []
        if not self._rest and data.endswith(b"\n\n"):  # whole events, as most reads are
            return self._payloads(data[:-2].split(b"\n\n"))
        seen = len(self._rest)
        self._rest += data
        # What was here before holds no blank line: only its last byte can begin one.
        end = self._rest.rfind(b"\n\n", max(0, seen - 1))
        if end < 0:
            self._check_size(len(self._rest))
            return []
        events = bytes(self._rest[:end]).split(b"\n\n")
        del self._rest[: end + 2]
        self._check_size(len(self._rest))
        return self._payloads(events)

    def end(self) -> list[bytes]:
        """The payload of an event that the end of the stream leaves without its empty line, where
        it is whole JSON all the same."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [] if self.done else [p for p in self._payloads([rest]) if _is_json(p)]

    def _payloads(self, events: list[bytes]) -> list[bytes]:
        payloads = []
        for event in events:
            name, found, payload = event.partition(b"data: ")
            if found and b"\n" not in payload and (not name or _ONE_NAME.fullmatch(name)):
                pass  # one line of data, with or without a name, as most events are
            elif data := _data(event):
                payload = data
            else:
                continue
            self._check_size(len(event))
            self.count += 1
            if payload == b"[DONE]":
                self.done = True
                break
            if payload:
                payloads.append(payload)
        return payloads

    def _check_size(self, size: int) -> None:
        if size > self._max:
            raise ModelError("malformed", f"The provider sent an event of over {self._max} bytes.")


def _data(event: bytes) -> bytes:
    """The data of an event, perhaps none."""
    lines = event.split(b"\n")
    values = [
        line[5:].removeprefix(b" ")
        for line in lines
        if line.startswith(b"data:") or line == b"data"
    ]
    data = b"\n".join(values)
    if b"error" in event:
        data = _error(lines, data)
    return data


def _error(lines: list[bytes], data: bytes) -> bytes:
    """The payload of an event that is an error by its name only, or in the field `error`, as
    llama.cpp sends it; of any other the data as it is."""
    named = any(line.replace(b" ", b"") == b"event:error" for line in lines)
    field = next((line[6:] for line in lines if line.startswith(b"error:")), b"")
    if not named and (data or not field):
        return data
    told = data or field.strip()
    try:
        value = json.loads(told)
    except ValueError:
        value = told.decode("utf-8", "replace")
    if isinstance(value, dict) and ("error" in value or "response" in value):
        return told
    return json.dumps({"error": value}).encode()


def _is_json(payload: bytes) -> bool:
    try:
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def decode_json(decoder: msgspec.json.Decoder[T], payload: bytes) -> T:
    """One payload as what `decoder` decodes. Raises `ModelError("malformed")`."""
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    # msgspec refuses half a surrogate pair, which providers do send when a token ends
    # inside an emoji. The second half may come with the next token, so both are kept.
    try:
        plain = json.loads(payload.decode("utf-8", "replace"))
        if isinstance(plain, list) and "error" in str(plain[:1]):
            raise from_payload(plain)
        return msgspec.convert(plain, decoder.type)
    except (ValueError, RecursionError):
        raise ModelError(
            "malformed", "The provider sent an event that is not valid JSON."
        ) from None

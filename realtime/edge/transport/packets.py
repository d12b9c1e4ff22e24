"""What goes over the wire: Socket.IO packets in, bytes ready to be written out. No I/O.

A packet that is not exactly as the protocol has it raises `Malformed`, and nothing else does.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
from socketio import packet as sio

from ...protocol import MAX_DEPTH

MAX_ATTACHMENTS = 10
MAX_NAMESPACE = 255
SEPARATOR = "\x1e"
TEXT, BINARY, CLOSE = 1, 2, 8

RESERVED = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
    | {"*"}  # the library's name for a handler of all events
)
"""Names that an event of a client may not have: they are the life-cycle's own."""

_HEAD = re.compile(r"([0-6])(?:([0-9]{1,3})-)?(?:(/[^,]*)(?:,|$))?([0-9]*)", re.ASCII)
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|[\]}]', re.S)
_decoder = msgspec.json.Decoder()


class Malformed(ValueError):
    """A client does not keep to the protocol; its socket is closed. The text says how, and has
    nothing that the client sent: it is logged."""


def too_large(what: str, limit: int) -> str:
    return f"{what} over {limit // 1024} KB"


# ------------------------------------------------------------------------ JSON


def loads(text: str) -> Any:
    """JSON of a client, at most 128 deep. Raises `Malformed`."""
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise Malformed(f"JSON that is nested more than {MAX_DEPTH} deep")
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, ValueError):
        pass
    try:  # half a character, as in a browser's strings, or NaN: for the command to judge
        return json.loads(text)
    except ValueError:
        raise Malformed("data that is not JSON") from None


def dumps(data: Any, **_: Any) -> str:
    return msgspec.json.encode(data).decode()


def _depth(text: str) -> int:
    depth = deepest = 0
    for found in _BRACKETS.finditer(text):
        if found[1]:
            depth += 1
            deepest = max(deepest, depth)
        elif found[0][0] != '"':
            depth -= 1
    return deepest


class _Json:
    """The `json` module that the library's packets ask for."""

    loads = staticmethod(loads)
    dumps = staticmethod(dumps)


# -------------------------------------------------------------------- Socket.IO


class Packet(sio.Packet):  # type: ignore[misc]
    """A Socket.IO packet, decoded strictly."""

    json = _Json

    def decode(self, text: str) -> int:
        """Fill this packet; the number of attachments that follow it."""
        if not isinstance(text, str) or not (head := _HEAD.match(text)):
            raise Malformed("a text that is not a Socket.IO packet")
        kind, count, namespace, id = head.groups()
        self.packet_type = int(kind)
        self.namespace = namespace
        self.id = int(id) if id else None
        rest = text[head.end() :]
        self.data = loads(rest) if rest else None
        binary = self.packet_type in (sio.BINARY_EVENT, sio.BINARY_ACK)
        if binary != (count is not None) or (count and int(count) > MAX_ATTACHMENTS):
            raise Malformed("a packet with a wrong number of attachments")
        if len(id) > 16 or len(namespace or "") > MAX_NAMESPACE:
            raise Malformed("an ack id or a namespace that is too long")
        self._check(bool(rest))
        return int(count) if count else 0

    def _check(self, has_data: bool) -> None:
        """Each type has its own data and no other."""
        data: Any = self.data
        kind = self.packet_type
        if kind == sio.CONNECT:
            good = self.id is None and (not has_data or isinstance(data, dict))
        elif kind == sio.DISCONNECT:
            good = self.id is None and not has_data
        elif kind in (sio.EVENT, sio.BINARY_EVENT):
            named = isinstance(data, list) and bool(data) and isinstance(data[0], str)
            good = named and data[0] not in RESERVED
        elif kind in (sio.ACK, sio.BINARY_ACK):
            good = self.id is not None and isinstance(data, list)
        else:
            good = False
        if not good:
            raise Malformed("a packet with data of the wrong kind, or an event of a reserved name")

    @classmethod
    def _reconstruct_binary_internal(cls, data: Any, attachments: list[bytes]) -> Any:
        if isinstance(data, list):
            return [cls._reconstruct_binary_internal(item, attachments) for item in data]
        if not isinstance(data, dict):
            return data
        if data.get("_placeholder") is True:
            number = data.get("num")
            if type(number) is not int or not 0 <= number < len(attachments):
                raise Malformed("a placeholder without its attachment")
            return attachments[number]
        return {k: cls._reconstruct_binary_internal(v, attachments) for k, v in data.items()}


# ------------------------------------------------------------------- Engine.IO


def split_payload(body: bytes) -> list[str | bytes]:
    """The packets of a polling body."""
    try:
        packets = body.decode().split(SEPARATOR)
        return [base64.b64decode(p[1:], validate=True) if p[:1] == "b" else p for p in packets]
    except (UnicodeDecodeError, binascii.Error):
        raise Malformed("a body that is not an Engine.IO payload") from None


_SHORT, _MEDIUM, _LONG = (struct.Struct(f"!BB{kind}").pack for kind in ("", "H", "Q"))


def frame(payload: bytes | bytearray, opcode: int = TEXT) -> bytes:
    """One WebSocket frame of a server: whole, unmasked, uncompressed."""
    size = len(payload)
    if size < 126:
        return _SHORT(0x80 | opcode, size) + payload
    if size < 65536:
        return _MEDIUM(0x80 | opcode, 126, size) + payload
    return _LONG(0x80 | opcode, 127, size) + payload


def close_frame(code: int) -> bytes:
    return frame(struct.pack("!H", code), CLOSE)


class Packets:
    """Engine.IO packets that go out together, encoded once for however many sockets.

    A `bytes` item is a whole packet with its type, a `bytearray` a binary message.
    """

    __slots__ = ("_frames", "packets")

    def __init__(self, packets: Sequence[bytes | bytearray]) -> None:
        self.packets = packets
        self._frames = b""

    @classmethod
    def messages(cls, parts: Sequence[str | bytes | bytearray]) -> Packets:
        """Each part as a message packet."""
        return cls([b"4" + p.encode() if isinstance(p, str) else bytearray(p) for p in parts])

    @property
    def size(self) -> int:
        return sum(map(len, self.packets))

    @property
    def frames(self) -> bytes:
        """As WebSocket frames."""
        if not self._frames:
            self._frames = b"".join(
                [frame(p, BINARY) if isinstance(p, bytearray) else frame(p) for p in self.packets]
            )
        return self._frames

    @property
    def payload(self) -> bytes:
        """As a polling body."""
        return SEPARATOR.encode().join(
            b"b" + base64.b64encode(p) if isinstance(p, bytearray) else p for p in self.packets
        )

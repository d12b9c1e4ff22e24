"""What a worker asks of the one that writes a session, and what it is told. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.user import User
from ..protocol import (
    Approve,
    ClientResult,
    File,
    Queue,
    Rate,
    Regenerate,
    Send,
    Stop,
    ToolDeclaration,
)

ARGUMENTS: dict[str, Any] = {
    "send": tuple[Send, User, list[File]],
    "resume": tuple[str, str],
    "regenerate": tuple[Regenerate, str],
    "queue": tuple[Queue, User],
    "select": tuple[str],
    "stop": tuple[Stop],
    "approve": tuple[Approve, str],
    "take_result": tuple[ClientResult, str],
    "rename": tuple[str, str],
    "pin": tuple[bool, str],
    "archive": tuple[bool, str],
    "rate": tuple[Rate, str],
    "end": tuple[()],
    "share": tuple[()],
    "unshare": tuple[()],
    "offer": tuple[list[ToolDeclaration]],
}
"""The methods of a seat that change its session, and what each is given."""


class Call(msgspec.Struct, array_like=True):
    """`call_id` is the asker's; the same again is the same call."""

    call_id: int
    worker: str
    session_id: str
    name: str
    arguments: msgspec.Raw


class Answered(msgspec.Struct, array_like=True):
    """`ack`: what the method gave. `error`: why it did not; `moved`: another worker writes the
    session."""

    call_id: int
    ack: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    moved: bool = False


encode = msgspec.msgpack.Encoder().encode
decode_call = msgspec.msgpack.Decoder(Call).decode
decode_answer = msgspec.msgpack.Decoder(Answered).decode


def encoded_call(
    call_id: int, worker: str, session_id: str, name: str, given: tuple[Any, ...]
) -> bytes:
    return encode(Call(call_id, worker, session_id, name, msgspec.Raw(encode(given))))


def arguments(asked: Call) -> tuple[Any, ...]:
    given: tuple[Any, ...] = msgspec.msgpack.decode(asked.arguments, type=ARGUMENTS[asked.name])
    return given

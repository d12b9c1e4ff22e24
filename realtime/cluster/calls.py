"""What a worker asks of the one that writes a session, and what it is told. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.user import User
from ..live.ack import Ack
from ..live.errors import not_yours
from ..live.seat import Seat
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
    to_json,
)

ARGUMENTS: dict[str, Any] = {
    "send": tuple[Send, User, list[File], str | None],
    "resume": tuple[str, str],
    "regenerate": tuple[Regenerate, str],
    "queue": tuple[Queue, User],
    "select": tuple[str, str],
    "stop": tuple[Stop, str],
    "approve": tuple[Approve, str],
    "take_result": tuple[ClientResult, str],
    "rename": tuple[str, str],
    "pin": tuple[bool, str],
    "archive": tuple[bool, str],
    "rate": tuple[Rate, str],
    "end": tuple[str],
    "share": tuple[()],
    "unshare": tuple[()],
    "offer": tuple[list[ToolDeclaration]],
    "read": tuple[()],
}
"""The methods of a seat that change its session, and what each is given."""


class Caller(msgspec.Struct, array_like=True):
    """Who asks. `share_key`: of the session, as the worker knows it that let them in. `user`: as
    they signed in there, where a run may come of it."""

    user_id: str
    share_key: str | None
    user: User | None = None


class Call(msgspec.Struct, array_like=True):
    """`call_id` is of the worker that asks; the same again is the same call."""

    call_id: int
    worker: str
    session_id: str
    name: str
    arguments: msgspec.Raw
    caller: Caller


class Answered(msgspec.Struct, array_like=True):
    """`ack`: what the method gave. `error`: why it did not; `moved`: another worker writes the
    session."""

    call_id: int
    ack: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    moved: bool = False


decode_call = msgspec.json.Decoder(Call).decode  # MessagePack has no integers beyond 64 bits
decode_answer = msgspec.json.Decoder(Answered).decode


def call_of(
    call_id: int,
    worker: str,
    session_id: str,
    name: str,
    given: tuple[Any, ...],
    caller: Caller,
) -> bytes:
    return to_json(Call(call_id, worker, session_id, name, msgspec.Raw(to_json(given)), caller))


def arguments(asked: Call) -> tuple[Any, ...]:
    given: tuple[Any, ...] = msgspec.json.decode(asked.arguments, type=ARGUMENTS[asked.name])
    return given


def do(seat: Seat, name: str, given: tuple[Any, ...], caller: Caller) -> Ack:
    """Carry it out. Raises what the method raises, and `not_found` where the share is void that let
    the caller in: another worker may not know yet."""
    if not seat.admits(caller.user_id, caller.share_key):
        raise not_yours()
    if name == "send":
        *before, instead = given
        return seat.send(*before, instead=instead)
    ack: Ack = getattr(seat, name)(*given)
    return ack

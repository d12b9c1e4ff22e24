"""The commands about a conversation as a whole: what its owner's list shows, copies, feedback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from ..live.hub import Hub
from ..live.seat import Seat
from ..protocol import ArchiveSession, Delete, Fork, Pin, Rate, Rename
from .access import Need, check_able
from .connections import Connection, user_of
from .errors import Ack

NewSession = Callable[[str], Awaitable[None]]
"""Counts a new session of a user. Raises `rate_limited`."""

Open = Callable[[Connection, str, Need], AbstractAsyncContextManager[Seat]]
Handlers = dict[str, Callable[[Connection, Any], Awaitable[Ack | Awaitable[Ack]]]]


class ListCommands:
    """`open` is the one way to a session; `new_session` counts those of a user."""

    def __init__(self, hub: Hub, open: Open, new_session: NewSession) -> None:
        self._hub = hub
        self._open = open
        self._new_session = new_session
        self.handlers: Handlers = {
            "rename": self._rename,
            "pin": self._pin,
            "archive": self._archive,
            "delete": self._delete,
            "fork": self._fork,
            "feedback": self._feedback,
        }

    async def _rename(self, connection: Connection, command: Rename) -> Awaitable[Ack]:
        async with self._own(connection, command.session_id) as seat:
            return seat.rename(command.title, user_of(connection))

    async def _pin(self, connection: Connection, command: Pin) -> Awaitable[Ack]:
        async with self._own(connection, command.session_id) as seat:
            return seat.pin(command.pinned, user_of(connection))

    async def _archive(self, connection: Connection, command: ArchiveSession) -> Awaitable[Ack]:
        async with self._own(connection, command.session_id) as seat:
            return seat.archive(command.archived, user_of(connection))

    async def _delete(self, connection: Connection, command: Delete) -> Ack:
        async with self._own(connection, command.session_id) as seat:
            await self._hub.delete(seat, connection.sid)
        connection.watching.discard(command.session_id)
        return {"ok": True}

    async def _fork(self, connection: Connection, command: Fork) -> Ack:
        check_able(self._hub)
        session_id, user_id = connection.named(command.session_id), user_of(connection)
        async with self._open(connection, session_id, "read") as seat:
            seat.part_up_to(command.message_id)
            await self._new_session(user_id)
            copy = await self._hub.fork(seat, user_id, command.message_id)
        return {"ok": True, "session_id": copy.session_id}

    async def _feedback(self, connection: Connection, command: Rate) -> Awaitable[Ack]:
        async with self._open(connection, connection.named(command.session_id), "full") as seat:
            return seat.rate(command, user_of(connection))

    def _own(
        self, connection: Connection, session_id: str | None
    ) -> AbstractAsyncContextManager[Seat]:
        return self._open(connection, connection.named(session_id), "owner")

"""What each command does, from a client to the session and back with an ack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec.structs import replace

from ..auth import Authenticator, AuthError, User
from ..auth.guests import Guests
from ..auth.shares import Grant, Shares
from ..core.rows import StorageError
from ..extensions import Extensions, NewMessage
from ..files.store import Files
from ..live.errors import not_yours, refused
from ..live.hub import Hub
from ..live.people import People
from ..live.seat import Seat
from ..log.log import Ticket
from ..protocol import (
    COMMANDS,
    MAX_FILES,
    Approve,
    Auth,
    ClientResult,
    Continue,
    Create,
    End,
    Handshake,
    History,
    Join,
    Leave,
    ProtocolError,
    Queue,
    Regenerate,
    Select,
    Send,
    SessionPayload,
    Share,
    Stop,
    Unshare,
    decode,
    entry,
)
from .access import Need, check_able, check_access, only_reads
from .connections import Connection, Roster, member_of, user_of
from .errors import Ack
from .list_commands import Handlers, ListCommands, NewSession
from .transport import Transport


class Commands:
    """Carries out what the sockets ask for. New `sessions` are counted by user.

    `on_renamed` is given a user's id, and the name that all their devices show from now on.
    """

    def __init__(
        self,
        sockets: Roster,
        transport: Transport,
        hub: Hub,
        auth: Authenticator,
        shares: Shares,
        files: Files,
        people: People,
        extensions: Extensions,
        new_session: NewSession,
    ) -> None:
        self._sockets = sockets
        self._transport = transport
        self._hub = hub
        self._authenticator = auth
        self._shares = shares
        self._files = files
        self._people = people
        self._extensions = extensions
        self._new_session = new_session
        self.on_renamed: Callable[[str, str | None], None] = self.rename
        self._handlers: Handlers = {
            **ListCommands(hub, self._open, new_session).handlers,
            "create": self._create,
            "join": self._join,
            "leave": self._leave,
            "send": self._send,
            "stop": self._stop,
            "continue": self._continue,
            "regenerate": self._regenerate,
            "select": self._select,
            "queue": self._queue,
            "approve": self._approve,
            "tool_result": self._tool_result,
            "history": self._history,
            "auth": self._auth,
            "share": self._share,
            "unshare": self._unshare,
            "end": self._end,
        }

    async def carry_out(
        self, connection: Connection, name: str, payload: Any
    ) -> Ack | Awaitable[Ack]:
        if name == "handshake":
            return await self._handshake(connection, payload)
        if name != "auth":
            user_of(connection)
        return await self._handlers[name](connection, decode(COMMANDS[name], payload))

    def gone(self, connection: Connection) -> None:
        for session_id in connection.watching:
            self._hub.leave(session_id, connection.sid)

    # ----------------------------------------------------------- the commands

    async def _handshake(self, connection: Connection, auth: Any) -> Ack:
        given = decode(Handshake, auth)
        await self._identify(connection, given.token, given.name)
        if given.session_id is None:
            return await self._create(connection, Create(tools=given.tools))
        return await self._join(
            connection,
            Join(
                session_id=given.session_id,
                epoch=given.epoch,
                after_seq=given.after_seq,
                share=given.share,
                tools=given.tools,
            ),
        )

    async def _identify(self, connection: Connection, token: str | None, name: str | None) -> None:
        """A guest whose token is missing or no longer good becomes a new guest; nobody else
        becomes anybody, or chooses a name. Raises `AuthError`."""
        guests = self._authenticator if isinstance(self._authenticator, Guests) else None
        try:
            user = await self._authenticator.user(token, connection.request)
        except AuthError:
            if guests is None:
                raise
            user, token = guests.new()
        if guests and token:
            user, token = replace(user, name=name), guests.renewed(token, user)
        self._admit(connection, user, token if guests else None)

    def _admit(self, connection: Connection, user: User, guest_token: str | None) -> None:
        if connection.closed:
            raise ProtocolError("not_found", "the socket has disconnected")
        connection.user = user
        self._people.met(user)
        connection.guest_token = guest_token
        connection.expiry.watch(user.exp)
        self._transport.enter_list(connection.sid, user.user_id)

    async def _create(self, connection: Connection, command: Create) -> Ack:
        if command.options and command.options.model:
            await self._people.look_up(member_of(connection))
            self._people.check_model(user_of(connection), command.options.model)
        check_able(self._hub)
        await self._new_session(user_of(connection))
        seat, ticket = self._hub.create(user_of(connection), command.options, command.tools)
        await stored(ticket)
        return await self._join(connection, Join(session_id=seat.session_id))

    async def _join(self, connection: Connection, command: Join) -> Ack:
        session_id = connection.named(command.session_id)
        grant = self._shares.read(command.share) if command.share else None
        if grant and grant.session_id == session_id:
            connection.shares[session_id] = grant

        def enter() -> None:
            if connection.closed:
                raise ProtocolError("not_found", "the socket has disconnected")
            if not seat.admits(user_of(connection), connection.share_key(session_id)):
                raise not_yours()  # revoked while the page was read
            self._transport.enter(connection.sid, session_id)
            connection.watching.add(session_id)

        async with self._open(connection, session_id, "read") as seat:
            if only_reads(seat, user_of(connection), connection.shares.get(session_id)):
                command.tools = None  # whoever only reads offers none
            payload = await seat.join(connection.sid, member_of(connection), command, enter)
            payload.guest_token, payload.you = connection.guest_token, user_of(connection)
            owner = payload.user_id == payload.you
            payload.access = "owner" if owner else connection.shares[session_id].access
            return self._session_ack(payload)

    def _session_ack(self, payload: SessionPayload) -> Ack:
        return {"ok": True, **msgspec.to_builtins(payload)}

    async def _leave(self, connection: Connection, command: Leave) -> Ack:
        if command.session_id not in connection.watching:
            raise ProtocolError("not_found", "this socket is not watching that session")
        connection.watching.discard(command.session_id)
        self._transport.leave(connection.sid, command.session_id)
        self._hub.leave(command.session_id, connection.sid)
        return {"ok": True}

    async def _send(self, connection: Connection, command: Send) -> Awaitable[Ack]:
        check_able(self._hub)
        session_id = connection.named(command.session_id)
        command.traceparent = command.traceparent or connection.traceparent
        found = await self._files.find(session_id, command.files[:MAX_FILES])
        user, instead = member_of(connection), None
        await self._people.look_up(user)
        if self._extensions.having("before_message"):
            async with self._open(connection, session_id) as seat:
                files = seat.check_send(command, user, found)
                if files is not None:
                    message = NewMessage(command.text, files, command.replaces)
                    instead = await self._extensions.before_message(message, user, seat.row())
        check_able(self._hub)
        async with self._open(connection, session_id) as seat:
            return seat.send(command, user, found, instead=instead)

    async def _stop(self, connection: Connection, command: Stop) -> Awaitable[Ack]:
        async with self._open(connection, connection.named(command.session_id)) as seat:
            return seat.stop(command, user_of(connection))

    async def _continue(self, connection: Connection, command: Continue) -> Awaitable[Ack]:
        await self._people.look_up(member_of(connection))
        check_able(self._hub)
        async with self._open(connection, connection.named(command.session_id)) as seat:
            return seat.resume(command.run_id, user_of(connection))

    async def _regenerate(self, connection: Connection, command: Regenerate) -> Awaitable[Ack]:
        await self._people.look_up(member_of(connection))
        check_able(self._hub)
        async with self._open(connection, connection.named(command.session_id)) as seat:
            return seat.regenerate(command, user_of(connection))

    async def _queue(self, connection: Connection, command: Queue) -> Awaitable[Ack]:
        if command.edit and self._extensions.having("before_message"):
            async with self._open(connection, connection.named(command.session_id)) as seat:
                files = seat.check_edit(command.edit)
                message = NewMessage(command.edit.text, files)
                command.edit.text = await self._extensions.before_message(
                    message, member_of(connection), seat.row()
                )
        async with self._open(connection, connection.named(command.session_id)) as seat:
            return seat.queue(command, member_of(connection))

    async def _select(self, connection: Connection, command: Select) -> Awaitable[Ack]:
        async with self._open(connection, connection.named(command.session_id)) as seat:
            return seat.select(command.message_id, user_of(connection))

    async def _approve(self, connection: Connection, command: Approve) -> Awaitable[Ack]:
        async with self._open(connection, connection.named(command.session_id)) as seat:
            check_able(self._hub)
            return seat.approve(command, user_of(connection))

    async def _tool_result(self, connection: Connection, command: ClientResult) -> Awaitable[Ack]:
        async with self._open(connection, connection.named(command.session_id)) as seat:
            check_able(self._hub)
            return seat.take_result(command, user_of(connection))

    async def _history(self, connection: Connection, command: History) -> Ack:
        session_id = connection.named(command.session_id)
        async with self._open(connection, session_id, "read") as seat:
            page = await seat.history(command)
        return {
            "ok": True,
            "events": [entry(event) for event in page.events],
            "next_before_seq": page.next_before_seq,
            **({"siblings": page.siblings} if page.siblings else {}),
            **({"sibling_counts": page.sibling_counts} if page.sibling_counts else {}),
        }

    async def _auth(self, connection: Connection, command: Auth) -> Ack:
        user = await self._authenticator.user(command.token, connection.request)
        if connection.user and connection.user.user_id != user.user_id:
            raise ProtocolError(
                "forbidden", "the token belongs to another user; open a new connection"
            )
        guest = isinstance(self._authenticator, Guests)
        if guest:
            name = connection.user.name if connection.user else None
            user = replace(user, name=name if command.name is None else command.name)
        if connection.user and connection.user.name != user.name:
            self.on_renamed(user.user_id, user.name)
        self._admit(connection, user, command.token if guest else None)
        return {"ok": True, "exp": user.exp}

    def rename(self, user_id: str, name: str | None) -> None:
        """All devices of a user show the name that they have now."""
        for other in self._sockets.values():
            if other.user and other.user.user_id == user_id and other.user.name != name:
                other.user = replace(other.user, name=name)
                for session_id in other.watching:
                    self._hub.rename(session_id, other.sid, other.user)

    async def _share(self, connection: Connection, command: Share) -> Ack:
        session_id = connection.named(command.session_id)
        async with self._open(connection, session_id, "owner") as seat:
            key = (await seat.share())["key"]
        return {"ok": True, "share": self._shares.token(Grant(session_id, command.access, key))}

    async def _unshare(self, connection: Connection, command: Unshare) -> Ack:
        """Void every share given so far and cancel what its holders asked for. Their sockets are
        closed; when they come back they are told `not_found`."""
        session_id = connection.named(command.session_id)
        async with self._open(connection, session_id, "owner") as seat:
            await seat.unshare()
        self.show_out(session_id, user_of(connection))
        return {"ok": True}

    def show_out(self, session_id: str, owner: str) -> None:
        """The shares of a session are void: whoever came by one, but its owner, leaves."""
        for other in list(self._sockets.values()):
            shared = other.shares.pop(session_id, None)
            mine = other.user and other.user.user_id == owner
            if shared and not mine and session_id in other.watching:
                self._transport.shut(other.sid)

    async def _end(self, connection: Connection, command: End) -> Awaitable[Ack]:
        async with self._open(connection, connection.named(command.session_id)) as seat:
            return seat.end(user_of(connection))

    # ---------------------------------------------------------------- helpers

    @asynccontextmanager
    async def _open(
        self, connection: Connection, session_id: str, need: Need = "full"
    ) -> AsyncIterator[Seat]:
        """The one way to a session: for its owner, or with a share that goes as far as the
        command needs. Raises `not_found`, `forbidden`."""
        user_id = user_of(connection)
        grant = connection.shares.get(session_id)
        key = connection.share_key(session_id)
        async with self._hub.open(session_id, user_id, share_key=key) as seat:
            check_access(seat, user_id, grant, need)
            yield seat


async def stored(ticket: Ticket) -> None:
    """Wait for a commit. Raises `storage_unavailable`, or `not_found` where the session was
    deleted meanwhile."""
    try:
        await ticket
    except StorageError as error:
        raise refused(error) from None

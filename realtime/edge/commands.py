"""From a client's command to the session, and back with an ack.

Each connection has one queue: its commands begin in the order in which they came. A
command's ack may take longer (a commit, an upstream that closes) and then holds up
nothing behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import msgspec
from aiohttp import web

from realtime.actor import Actor, storage_unavailable
from realtime.auth import AuthError, Guests, User
from realtime.edge.transport import Reply, Transport
from realtime.hub import Hub
from realtime.log.rows import StorageError
from realtime.protocol import (
    COMMANDS,
    Approve,
    Auth,
    Continue,
    Create,
    End,
    Handshake,
    History,
    Join,
    Leave,
    ProtocolError,
    Send,
    SessionPayload,
    Share,
    Stop,
    decode,
    entry,
)

MAX_WAITING = 1000
DRAIN_RETRY_MS = 3000
CLOSE_S = 1.0

Ack = dict[str, Any]
logger = logging.getLogger(__name__)


class Connection:
    """One socket: who it is, what it watches, what it asked for."""

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.user: User | None = None
        self.guest_token: str | None = None
        self.watching: set[str] = set()
        self.shared: set[str] = set()
        self.closed = False
        self.waiting: asyncio.Queue[tuple[str, Any, Reply] | None] = asyncio.Queue()
        self.worker: asyncio.Task[None] | None = None


class Commands:
    """Every connection of this server, and what each command does."""

    def __init__(self, transport: Transport, hub: Hub, guests: Guests) -> None:
        self._transport = transport
        self._hub = hub
        self._guests = guests
        self._connections: dict[str, Connection] = {}
        self._acks: set[asyncio.Task[None]] = set()
        self._handlers: dict[str, Callable[[Connection, Any], Awaitable[Ack | Awaitable[Ack]]]]
        self._handlers = {
            "create": self._create,
            "join": self._join,
            "leave": self._leave,
            "send": self._send,
            "stop": self._stop,
            "continue": self._continue,
            "approve": self._approve,
            "history": self._history,
            "auth": self._auth,
            "share": self._share,
            "end": self._end,
        }
        transport.on_client = self._on_connect
        transport.on_command = self._on_command
        transport.on_gone = self._on_disconnect

    @property
    def devices(self) -> int:
        return len(self._connections)

    # ------------------------------------------------------- life of a socket

    def _on_connect(self, sid: str, auth: Any, request: web.Request) -> None:
        connection = self._connections[sid] = Connection(sid)
        connection.worker = asyncio.create_task(self._work(connection), name=f"socket {sid}")

        def answer(ack: Ack) -> None:
            payload = {key: value for key, value in ack.items() if key != "ok"}
            if not ack["ok"] and isinstance(auth, dict):
                payload["session_id"] = auth.get("session_id")
                payload["guest_token"] = connection.guest_token
            self._transport.tell(sid, "session", payload)

        connection.waiting.put_nowait(("handshake", auth, answer))
        logger.debug("connected", extra={"sid": sid, "remote": request.remote})

    def _on_command(self, sid: str, name: str, payload: Any, reply: Reply) -> None:
        connection = self._connections.get(sid)
        if connection is None:
            return
        if name not in COMMANDS:
            known = ", ".join(COMMANDS)
            reply(refusal(ProtocolError("bad_request", f"unknown command; there are: {known}")))
        elif connection.waiting.qsize() >= MAX_WAITING:
            message = "too many commands at once; wait for their acks"
            reply(
                refusal(ProtocolError("rate_limited", message, retryable=True, retry_after_ms=1000))
            )
        else:
            connection.waiting.put_nowait((name, payload, reply))

    def _on_disconnect(self, sid: str, reason: str) -> None:
        connection = self._connections.pop(sid, None)
        if connection is None:
            return
        connection.closed = True
        connection.waiting.put_nowait(None)  # what was asked before is still done
        for session_id in connection.watching:
            self._hub.leave(session_id, sid)
        logger.debug("disconnected: %s", reason, extra={"sid": sid})

    async def _work(self, connection: Connection) -> None:
        while (item := await connection.waiting.get()) is not None:
            name, payload, reply = item
            try:
                result: Ack | Awaitable[Ack]
                if name == "handshake":
                    result = await self._handshake(connection, payload)
                else:
                    command = decode(COMMANDS[name], payload)
                    result = await self._handlers[name](connection, command)
            except Exception as error:
                reply(refusal(error))
                continue
            if isinstance(result, dict):
                reply(result)
            else:
                task = asyncio.create_task(_answer(result, reply))
                self._acks.add(task)
                task.add_done_callback(self._acks.discard)

    async def close(self) -> None:
        """Close every transport and wait until the commands that came are answered."""
        workers = [c.worker for c in self._connections.values() if c.worker]
        self._transport.drop_all()
        if workers:
            await asyncio.wait(workers, timeout=CLOSE_S)
        if self._acks:
            await asyncio.wait(self._acks, timeout=CLOSE_S)

    # ----------------------------------------------------------- the commands

    async def _handshake(self, connection: Connection, auth: Any) -> Ack:
        given = decode(Handshake, auth)
        self._identify(connection, given.token)
        if given.session_id is None:
            return await self._create(connection, Create())
        return await self._join(
            connection,
            Join(
                session_id=given.session_id,
                epoch=given.epoch,
                after_seq=given.after_seq,
                share=given.share,
            ),
        )

    def _identify(self, connection: Connection, token: str | None) -> None:
        """A guest whose token is missing or no longer good becomes a new guest."""
        try:
            connection.user = self._guests.user(token) if token else None
        except AuthError:
            connection.user = None
        if connection.user is None:
            connection.user, connection.guest_token = self._guests.new()
        else:
            connection.guest_token = token

    async def _create(self, connection: Connection, command: Create) -> Ack:
        self._refuse_when_unable()
        actor, ticket = self._hub.create(user_of(connection))
        try:
            await asyncio.shield(ticket)
        except StorageError:
            raise storage_unavailable() from None
        return await self._join(connection, Join(session_id=actor.session.session_id))

    async def _join(self, connection: Connection, command: Join) -> Ack:
        session_id = self._named(connection, command)
        if command.share and self._guests.shared(command.share) == session_id:
            connection.shared.add(session_id)

        def enter() -> None:
            if connection.closed:
                raise ProtocolError("not_found", "the socket has gone")
            self._transport.enter(connection.sid, session_id)
            connection.watching.add(session_id)

        async with self._open(connection, session_id) as actor:
            payload = await actor.join(connection.sid, command, enter)
            payload.guest_token = connection.guest_token
            return self._session_ack(payload)

    def _session_ack(self, payload: SessionPayload) -> Ack:
        return {"ok": True, **msgspec.to_builtins(payload)}

    async def _leave(self, connection: Connection, command: Leave) -> Ack:
        if command.session_id not in connection.watching:
            raise ProtocolError("not_found", "this socket does not watch that session")
        connection.watching.discard(command.session_id)
        self._transport.leave(connection.sid, command.session_id)
        self._hub.leave(command.session_id, connection.sid)
        return {"ok": True}

    async def _send(self, connection: Connection, command: Send) -> Awaitable[Ack]:
        self._refuse_when_unable()
        async with self._open(connection, self._named(connection, command)) as actor:
            return actor.send(command, user_of(connection))

    async def _stop(self, connection: Connection, command: Stop) -> Awaitable[Ack]:
        async with self._open(connection, self._named(connection, command)) as actor:
            return actor.stop(command)

    async def _continue(self, connection: Connection, command: Continue) -> Awaitable[Ack]:
        self._refuse_when_unable()
        async with self._open(connection, self._named(connection, command)) as actor:
            return actor.resume(command.run_id)

    async def _approve(self, connection: Connection, command: Approve) -> Ack:
        async with self._open(connection, self._named(connection, command)):
            raise ProtocolError("not_found", "no tool call of that id waits for a decision")

    async def _history(self, connection: Connection, command: History) -> Ack:
        session_id = self._named(connection, command)
        async with self._open(connection, session_id) as actor:
            page = await actor.history(command.before_seq, command.limit)
        events = [entry(event) for event in page.events]
        return {"ok": True, "events": events, "next_before_seq": page.next_before_seq}

    async def _auth(self, connection: Connection, command: Auth) -> Ack:
        try:
            user = self._guests.user(command.token)
        except AuthError as error:
            raise ProtocolError("unauthorized", str(error)) from None
        if user.user_id != user_of(connection):
            raise ProtocolError("forbidden", "the token is another user's; connect anew")
        connection.user = user
        return {"ok": True, "exp": user.exp}

    async def _share(self, connection: Connection, command: Share) -> Ack:
        session_id = self._named(connection, command)
        async with self._open(connection, session_id):
            return {"ok": True, "share": self._guests.share(session_id)}

    async def _end(self, connection: Connection, command: End) -> Awaitable[Ack]:
        async with self._open(connection, self._named(connection, command)) as actor:
            return actor.end()

    # ---------------------------------------------------------------- helpers

    def _open(self, connection: Connection, session_id: str) -> AbstractAsyncContextManager[Actor]:
        shared = session_id in connection.shared
        return self._hub.open(session_id, user_of(connection), shared=shared)

    def _named(self, connection: Connection, command: Any) -> str:
        """The session that a command is about; the one that is watched where none is named."""
        session_id: str | None = command.session_id
        if session_id is not None:
            return session_id
        if len(connection.watching) != 1:
            raise ProtocolError(
                "bad_request",
                f"name the session_id: this socket watches {len(connection.watching)} sessions",
            )
        (only,) = connection.watching
        return only

    def _refuse_when_unable(self) -> None:
        """Nothing new is begun that could not be stored or finished."""
        if self._hub.draining:
            raise ProtocolError(
                "draining",
                "the server is restarting; send again shortly",
                retryable=True,
                retry_after_ms=DRAIN_RETRY_MS,
            )
        if self._hub.log.broken:
            raise storage_unavailable()


def user_of(connection: Connection) -> str:
    if connection.user is None:
        raise ProtocolError("unauthorized", "this socket has not said who it is")
    return connection.user.user_id


async def _answer(result: Awaitable[Ack], reply: Reply) -> None:
    try:
        reply(await result)
    except Exception as error:
        reply(refusal(error))


def refusal(error: Exception) -> Ack:
    """The one place where an error becomes an ack."""
    if not isinstance(error, ProtocolError):
        request_id = uuid4().hex[:12]
        logger.error("command failed", exc_info=error, extra={"request_id": request_id})
        error = ProtocolError("internal", f"something went wrong here; request {request_id}")
    return {"ok": False, "error": error.payload()}

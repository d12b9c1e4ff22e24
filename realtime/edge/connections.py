"""The life of a socket: it comes, asks, is answered, and goes.

Each connection has one queue: its commands begin in the order in which they came. A
command's ack may take longer (a commit, an upstream that closes) and then holds up
nothing behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Iterator
from typing import Any, Protocol

from aiohttp import web

from ..auth import User
from ..auth.expiry import Expiry
from ..auth.shares import Grant
from ..limits.buckets import Buckets, rate_limited
from ..protocol import COMMANDS, ProtocolError
from .errors import Ack, refusal
from .transport import Reply, Transport

MAX_WAITING = 1000
ASKING = ("send", "regenerate", "continue")
"""Commands that an answer is expected of: the log says why there is none."""

TRACEPARENT = 100  # characters
CLOSE_S = 1.0

logger = logging.getLogger(__name__)


class Connection:
    """One socket: who it is, what it watches, what it asked for."""

    def __init__(self, sid: str, request: web.Request, expiry: Expiry) -> None:
        self.sid = sid
        self.request = request
        self.expiry = expiry
        self.user: User | None = None
        self.guest_token: str | None = None
        self.watching: set[str] = set()
        self.shares: dict[str, Grant] = {}
        self.traceparent = request.headers.get("traceparent", "")[:TRACEPARENT]
        self.closed = False
        self.waiting: asyncio.Queue[tuple[str, Any, Reply] | None] = asyncio.Queue()
        self.worker: asyncio.Task[None] | None = None

    def named(self, session_id: str | None) -> str:
        """The session that a command is about; the one that is watched where none is named.
        Raises `bad_request`."""
        if session_id is not None:
            return session_id
        if len(self.watching) != 1:
            raise ProtocolError(
                "bad_request",
                f"session_id is required: this socket watches {len(self.watching)} sessions",
            )
        (only,) = self.watching
        return only

    def share_key(self, session_id: str) -> str | None:
        grant = self.shares.get(session_id)
        return grant.key if grant else None


Roster = dict[str, Connection]
"""The sockets that are connected, by `sid`."""


class Handler(Protocol):
    """What the sockets ask for."""

    async def carry_out(
        self, connection: Connection, name: str, payload: Any
    ) -> Ack | Awaitable[Ack]:
        """Do what a command says; the ack, or what to await for it. The first of a socket is
        its "handshake"."""
        ...

    def gone(self, connection: Connection) -> None:
        """A socket has closed; once for each."""
        ...


class Connections:
    """Every socket of this server, kept in `sockets`. Commands are counted by socket and by
    user."""

    def __init__(
        self,
        sockets: Roster,
        transport: Transport,
        commands: Handler,
        socket_rate: Buckets,
        user_rate: Buckets,
    ) -> None:
        self._sockets = sockets
        self._transport = transport
        self._commands = commands
        self._socket_rate = socket_rate
        self._user_rate = user_rate
        self.answered: Counter[tuple[str, str]] = Counter()  # by command and outcome
        self._acks: set[asyncio.Task[None]] = set()
        transport.on_client = self._on_connect
        transport.on_command = self._on_command
        transport.on_gone = self._on_disconnect

    def __len__(self) -> int:
        return len(self._sockets)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._sockets.values()))

    def _on_connect(self, sid: str, auth: Any, request: web.Request) -> None:
        expiry = Expiry(
            warn=lambda: self._transport.tell(sid, "server", {"type": "token_expiring"}),
            close=lambda: self._transport.shut(sid),
        )
        connection = self._sockets[sid] = Connection(sid, request, expiry)
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
        connection = self._sockets.get(sid)
        if connection is None:
            return

        def counted(ack: Ack) -> None:
            known = name if name in COMMANDS else "unknown"
            self.answered[known, "ok" if ack["ok"] else ack["error"]["code"]] += 1
            reply(ack)

        def answered(ack: Ack) -> None:
            if not ack["ok"] and name in ASKING and connection.user:
                about = {
                    "user_id": connection.user.user_id,
                    "session_id": payload.get("session_id") if isinstance(payload, dict) else None,
                    "sid": sid,
                    "reason": ack["error"]["code"],
                }
                logger.info("%s refused", name, extra=about)
            counted(ack)

        try:
            self._admit(connection, name)
        except ProtocolError as error:
            counted(refusal(error))
        else:
            connection.waiting.put_nowait((name, payload, answered))

    def _admit(self, connection: Connection, name: str) -> None:
        """Raises `bad_request`, `rate_limited`."""
        self._socket_rate.spend(connection.sid)
        if connection.user:
            self._user_rate.spend(connection.user.user_id)
        if name not in COMMANDS:
            known = ", ".join(COMMANDS)
            raise ProtocolError("bad_request", f"unknown command; known: {known}")
        if connection.waiting.qsize() >= MAX_WAITING:
            raise rate_limited("too many commands at once; wait for their acks", 1)

    def _on_disconnect(self, sid: str, reason: str) -> None:
        connection = self._sockets.pop(sid, None)
        if connection is None:
            return
        connection.closed = True
        connection.expiry.cancel()
        connection.waiting.put_nowait(None)  # what was asked before is still done
        self._commands.gone(connection)
        logger.debug("disconnected: %s", reason, extra={"sid": sid})

    async def _work(self, connection: Connection) -> None:
        while (item := await connection.waiting.get()) is not None:
            name, payload, reply = item
            try:
                result = await self._commands.carry_out(connection, name, payload)
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
        workers = [c.worker for c in self._sockets.values() if c.worker]
        self._transport.drop_all()
        if workers:
            await asyncio.wait(workers, timeout=CLOSE_S)
        if self._acks:
            await asyncio.wait(self._acks, timeout=CLOSE_S)


def member_of(connection: Connection) -> User:
    """Raises `unauthorized`."""
    if connection.user is None:
        raise ProtocolError("unauthorized", "this socket is not signed in; send auth with a token")
    return connection.user


def user_of(connection: Connection) -> str:
    """Raises `unauthorized`."""
    return member_of(connection).user_id


async def _answer(result: Awaitable[Ack], reply: Reply) -> None:
    try:
        reply(await result)
    except Exception as error:
        reply(refusal(error))

"""One Engine.IO connection: its transport, its queue, its heartbeat, its end."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from socket import SO_SNDBUF, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from .packets import Malformed, Packets, close_frame, too_large

if TYPE_CHECKING:
    from .engine import Engine

MAX_JOBS = 1000
LINGER_S = 1.0
KERNEL_BYTES = 64 * 1024
"""What the kernel may hold for one socket, so that the bound of the queue means something."""

PING, NOOP, GOODBYE = Packets([b"2"]), b"6", b"1"
logger = logging.getLogger(__name__)

SLOW_READER = "slow reader"
PARSE_ERROR = "parse error"


class Socket:
    """Speaks to one client, by polling or by WebSocket.

    `put` never waits. A WebSocket's queue is the write buffer of its TCP transport, a
    polling client's is `_queue`; either is bounded, and who exceeds it is dropped. `run`
    keeps the order of what the client sent, whether the handlers wait or not. `close`
    takes effect at once; the `disconnect` handler runs later, after what was sent before.
    """

    __slots__ = (
        "_awaited", "_due", "_farewell", "_jobs", "_judging", "_poll", "_poll_tcp", "_posting",
        "_put", "_queue", "_queued", "_strikes", "_taken", "_tcp", "_timer", "closed", "engine",
        "remote", "session", "sid", "upgraded", "upgrading",
    )  # fmt: skip

    def __init__(self, engine: Engine, sid: str, remote: str | None) -> None:
        self.engine = engine
        self.sid = sid
        self.remote = remote
        self.session: dict[str, Any] = {}
        self.closed = False
        self.upgraded = False
        self.upgrading: web.WebSocketResponse | None = None
        self._tcp: asyncio.Transport | None = None
        self._queue: list[Packets] = []
        self._queued = 0
        self._poll: asyncio.Future[None] | None = None
        self._poll_tcp: asyncio.Transport | None = None  # of the last poll
        self._posting = False
        self._farewell = GOODBYE
        self._jobs: deque[tuple[Callable[..., Any], tuple[Any, ...]]] | None = None
        self._judging = self._awaited = False
        self._put = self._taken = self._strikes = 0
        self._due = engine.loop.time() + engine.ping_interval
        self._timer = engine.loop.call_at(self._due, self._ping)

    # ------------------------------------------------------------- outgoing

    def put(self, batch: Packets) -> None:
        """Send it after what was put before. Never waits, never calls a handler."""
        if self.closed:
            return
        if self._tcp is None:
            self._queue.append(batch)
            self._queued += batch.size
            backlog = self._queued
            self.release()
        else:
            if self._tcp.is_closing():
                return
            frames = batch.frames
            self._tcp.write(frames)
            self._put += len(frames)
            backlog = self._tcp.get_write_buffer_size()
        if backlog:
            self.engine.watch(self)
            if backlog > self.engine.max_queue_bytes and not self._judging:
                self._judging = True
                self.engine.loop.call_soon(self._judge)

    @property
    def backlog(self) -> int:
        return self._queued if self._tcp is None else self._tcp.get_write_buffer_size()

    def _judge(self) -> None:
        """Over its bound, also after the loop had its chance to write."""
        self._judging = False
        if not self.closed and self.backlog > self.engine.max_queue_bytes:
            self.drop(SLOW_READER)

    def check(self) -> bool:
        """Called each second while something waits; whether to go on watching."""
        if self.closed or (not self.backlog and self._poll is None):
            return False
        if self._poll is not None:
            if self._poll_tcp is None or self._poll_tcp.is_closing():
                self.close(self.engine.reason.TRANSPORT_CLOSE)
            return not self.closed
        taken = self._put - self.backlog if self._tcp else self._put
        waits = taken == self._taken and not self.upgrading
        self._taken, self._strikes = taken, self._strikes + 1 if waits else 0
        if self._strikes >= self.engine.stall_s:
            self.drop(SLOW_READER)
        return not self.closed

    # -------------------------------------------------------------- polling

    async def poll(self, tcp: asyncio.Transport | None) -> bytes:
        """What waits for the client, once there is something. One request at a time."""
        if self._poll is not None:
            self.close(self.engine.reason.TRANSPORT_ERROR)
            raise Malformed("two polls at once")
        self._poll_tcp = tcp
        bound(tcp)
        if not self._queue and not self.closed:
            if self.upgrading:
                return NOOP
            self._poll = self.engine.loop.create_future()
            self.engine.watch(self)
            try:
                await self._poll
            except asyncio.CancelledError:
                self.close(self.engine.reason.TRANSPORT_CLOSE)
                raise
            finally:
                self._poll = None
        if tcp is None or tcp.is_closing():
            self.close(self.engine.reason.TRANSPORT_CLOSE)
        return self._take()

    def _take(self) -> bytes:
        parts = [batch.payload for batch in self._queue]
        self._put += self._queued
        self._queue.clear()
        self._queued = self._strikes = 0
        if self.closed:
            parts.append(self._farewell)
        return b"\x1e".join(parts) or NOOP

    async def post(self, read: Callable[[], Awaitable[list[str | bytes]]]) -> None:
        """Take a polling body. Raises `Malformed` with the socket closed."""
        if self._posting:
            self.close(self.engine.reason.TRANSPORT_ERROR)
            raise Malformed("two bodies at once")
        self._posting = True
        try:
            for packet in await read():
                if self.closed:
                    break
                self.receive(packet)
            if self.closed and self._farewell is GOODBYE:
                raise Malformed("the session has ended")
        except Malformed:
            self.close(PARSE_ERROR)  # and the request is refused, with a line in the log
            raise
        finally:
            self._posting = False

    # ------------------------------------------------------------ WebSocket

    def release(self) -> None:
        """End the poll that is open, if one is."""
        if self._poll and not self._poll.done():
            self._poll.set_result(None)

    def attach(self, tcp: asyncio.Transport) -> None:
        """From now on this WebSocket's TCP transport is what is written to."""
        bound(tcp)
        self._tcp, self.upgraded = tcp, True
        self.release()
        waiting, self._queue, self._queued = self._queue, [], 0
        self._put = self._taken = 0
        for batch in waiting:
            self.put(batch)

    async def listen(self, ws: web.WebSocketResponse) -> None:
        """Take what the client sends, until the end of either."""
        while not self.closed:
            message = await ws.receive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                try:
                    self.receive(message.data)
                except Malformed as error:
                    self.reject(str(error))
            elif message.type is WSMsgType.ERROR:
                self.reject(self._fault(message.data))
            else:
                self.close(self.engine.reason.TRANSPORT_CLOSE)

    def _fault(self, error: object) -> str:
        """What was wrong with a frame."""
        if isinstance(error, WebSocketError) and error.code == WSCloseCode.MESSAGE_TOO_BIG:
            return too_large("a frame", self.engine.max_http_buffer_size)
        return "a frame that RFC 6455 does not allow"

    # ------------------------------------------------------------- incoming

    def receive(self, packet: str | bytes) -> None:
        """One Engine.IO packet. Raises `Malformed`."""
        if isinstance(packet, bytes):
            self.engine.message(self, packet)
        elif packet[:1] == "4":
            self.engine.message(self, packet[1:])
        elif packet == "3":
            self._pong()
        elif packet == "1":
            self._farewell = NOOP
            self.close(self.engine.reason.CLIENT_DISCONNECT)
        else:
            raise Malformed("an Engine.IO packet that no client sends")

    def run(self, handler: Callable[..., Any], *args: Any, later: bool = False) -> None:
        """Call a handler now, or after those that still wait; its errors are logged."""
        if self._jobs is not None:
            if len(self._jobs) >= MAX_JOBS and not self.closed:
                self.reject("too many messages at once", "too many messages")
            elif len(self._jobs) < MAX_JOBS or later:
                self._jobs.append((handler, args))
            return
        if later:
            self._jobs = deque([(handler, args)])
            self.engine.spawn(self._work(None))
        elif isawaitable(result := self._call(handler, args)):
            self._jobs = deque()
            self.engine.spawn(self._work(result))

    def _call(self, handler: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        try:
            return handler(*args)
        except Exception:
            logger.exception("a handler failed", extra={"sid": self.sid})
            return None

    async def _work(self, result: Awaitable[Any] | None) -> None:
        assert self._jobs is not None
        while True:
            try:
                if result is not None:
                    await result
            except Exception:
                logger.exception("a handler failed", extra={"sid": self.sid})
            if not self._jobs:
                break
            handler, args = self._jobs.popleft()
            returned = self._call(handler, args)
            result = returned if isawaitable(returned) else None
        self._jobs = None

    # ---------------------------------------------------- heartbeat and end

    def _ping(self) -> None:
        self._awaited = True
        self.put(PING)
        self._due += self.engine.ping_timeout
        self._timer = self.engine.loop.call_at(self._due, self._late)

    def _pong(self) -> None:
        if self._awaited and not self.closed:
            self._awaited = False
            self._timer.cancel()
            self._due = self.engine.loop.time() + self.engine.ping_interval
            self._timer = self.engine.loop.call_at(self._due, self._ping)

    def _late(self) -> None:
        end = self.drop if self.backlog else self.close
        end(self.engine.reason.PING_TIMEOUT)

    def drop(self, reason: str) -> None:
        """Cut the transport without a word: what waits is not for this client any more."""
        self._queue.clear()
        self._queued = 0
        self.close(reason)
        if self._tcp:
            self._tcp.abort()
        elif self._poll_tcp and self._poll_tcp.get_write_buffer_size():
            self._poll_tcp.abort()  # it does not take the answer to its poll either
        logger.info("dropped: %s", reason, extra={"sid": self.sid})

    def reject(self, why: str, reason: str = PARSE_ERROR) -> None:
        """End the connection of a client that does not keep to the protocol."""
        if not self.closed:
            self.engine.refused(self.remote, why)
            self.close(reason)

    def close(self, reason: str, code: int = 1000) -> None:
        """End the connection behind what was put before. The client may come back."""
        if self.closed:
            return
        self.closed = True
        self._timer.cancel()
        if self._tcp and not self._tcp.is_closing():
            self._tcp.write(close_frame(code))
            self._tcp.close()
            self.engine.loop.call_later(LINGER_S, self._tcp.abort)
        self.release()
        self.engine.forget(self, reason)


def bound(tcp: asyncio.Transport | None) -> None:
    """Keep the kernel from holding much more for the client than we do."""
    if tcp and (sock := tcp.get_extra_info("socket")):
        sock.setsockopt(SOL_SOCKET, SO_SNDBUF, KERNEL_BYTES)

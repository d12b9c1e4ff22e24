"""Engine.IO 4 over aiohttp, for any application. No handler is needed to be mounted.

    engine = Engine(ping_interval=25)
    engine.on("message", lambda sid, data: engine.put(sid, Packets.messages([data])))
    engine.attach(app)

Of python-engineio's server the registration of handlers, ids and client sessions are used;
requests, sockets, queues and the heartbeat are replaced (`realtime.edge.transport` says why).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from functools import cached_property, partial
from inspect import isawaitable
from typing import Any

import engineio
import msgspec
from aiohttp import http_exceptions, web

from ..notices import Notices
from .origins import BadHandshake, Origins
from .packets import Malformed, Packets, close_frame, split_payload, too_large
from .socket import Socket

UPGRADE_S = 5.0
BODY_S = 30.0
WATCH_S = 1.0
NO_POLLING = (
    "Transport unknown: this server takes transport=websocket only. Set "
    'transports: ["websocket"] in the client; or have the router keep '
    "each client at one worker (affinity), and set "
    "TRANSPORTS=websocket,polling"
)

logger = logging.getLogger(__name__)


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """An Engine.IO server.

    Handlers: `connect(sid, environ)` may return False, `message(sid, data)` with `str` or
    `bytes`, `disconnect(sid, reason)`; plain or async, one at a time for each client, in
    order. `environ["aiohttp.request"]` is the request.

    `max_queue_bytes` bounds what waits for one client; who takes nothing for `stall_s`
    seconds while something waits is dropped as well. `closed[reason]` counts ends.
    `cors_allowed_origins`: `"*"`, or origins beside the own one, which is that of
    `request.host`.
    """

    def __init__(
        self,
        *,
        max_queue_bytes: int = 256 * 1024,
        stall_s: int = 4,
        **options: Any,
    ) -> None:
        options["async_mode"] = "aiohttp"
        options["logger"] = library_logger()
        super().__init__(**options)
        self.max_queue_bytes = max_queue_bytes
        self.stall_s = stall_s
        self._notices = Notices()
        self._origins = Origins(self.cors_allowed_origins or (), self.cors_credentials)
        self.sockets: dict[str, Socket] = {}
        self.watched: set[Socket] = set()
        self.closed: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._watch: asyncio.TimerHandle | None = None

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serve the path in an application; to be closed with `shutdown`."""
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)

    # ------------------------------------------------------------- requests

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        headers: dict[str, str] = {}
        try:
            headers = self._origins.headers(request)
            response = await self._answer(request)
        except BadHandshake as error:
            if error.status == 400:
                self.refused(request.remote, str(error))
            body = msgspec.json.encode(error.body)
            response = web.Response(body=body, status=error.status, content_type="application/json")
            if request.can_read_body:
                response.force_close()  # nobody waits for the rest of what it sends
        if not response.prepared:
            response.headers.update(headers)
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return web.Response(status=204)
        transport = request.query.get("transport", "")
        if transport not in self.transports:
            if transport == "polling":
                raise BadHandshake(0, NO_POLLING)
            only = " or ".join(f"transport={name}" for name in self.transports)
            raise BadHandshake(0, f"Transport unknown: this server takes {only}")
        if "j" in request.query:
            raise BadHandshake(3, "Bad request: JSONP is not part of this protocol")
        sid = request.query.get("sid")
        if sid is None:
            return await self._open(request, transport)
        socket = self.sockets.get(sid)
        if socket is None:
            raise BadHandshake(1, "Session ID unknown")
        if transport == "websocket":
            return await self._upgrade(request, socket)
        if socket.upgraded:
            raise BadHandshake(3, "Bad request: the session has moved to WebSocket")
        try:
            if request.method == "GET":
                return text(await socket.poll(request.transport))
            if request.method == "POST":
                await socket.post(partial(self._body, request))
                return text(b"ok")
        except Malformed as error:
            raise BadHandshake(3, f"Bad request: {error}") from None
        raise BadHandshake(2, "Bad request method")

    async def _open(self, request: web.Request, transport: str) -> web.StreamResponse:
        if request.query.get("EIO") != "4":
            raise BadHandshake(
                5,
                "Unsupported protocol version: this server speaks EIO=4, as socket.io-client 3 "
                "and python-socketio 5 and newer do",
            )
        if request.method != "GET":
            raise BadHandshake(2, "Bad handshake method")
        ws = self._websocket(request) if transport == "websocket" else None
        sid = self.generate_id()
        socket = self.sockets[sid] = Socket(self, sid, request.remote)
        upgrade = ws is None and self.allow_upgrades and "websocket" in self.transports
        hello = {
            "sid": sid,
            "upgrades": ["websocket"] if upgrade else [],
            "pingInterval": round((self.ping_interval + self.ping_interval_grace_period) * 1000),
            "pingTimeout": round(self.ping_timeout * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        socket.put(Packets([b"0" + msgspec.json.encode(hello)]))
        await self._welcome(socket, request)
        if ws is None:
            return text(await socket.poll(request.transport))
        try:
            await ws.prepare(request)
            if request.transport is not None:
                socket.attach(request.transport)
                await socket.listen(ws)
        finally:
            socket.close(self.reason.TRANSPORT_CLOSE)
        return ws

    async def _welcome(self, socket: Socket, request: web.Request) -> None:
        """Ask the application. Who is refused leaves nothing behind. Raises `BadHandshake`."""
        handler = self.handlers.get("connect")
        environ = {
            "aiohttp.request": request,
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query_string,
            "REMOTE_ADDR": request.remote,
        }
        try:
            answer = handler(socket.sid, environ) if handler else None
            if isawaitable(answer):
                answer = await answer
        except Exception:
            logger.exception("the connect handler failed", extra={"sid": socket.sid})
            answer = False
        if answer is not None and answer is not True:
            del self.sockets[socket.sid]  # it never was one: no disconnect is reported
            socket.close(self.reason.SERVER_DISCONNECT)
            raise BadHandshake(4, "Forbidden", 401)

    async def _upgrade(self, request: web.Request, socket: Socket) -> web.StreamResponse:
        """Move a polling session to a WebSocket, once it has shown that it works."""
        ws = self._websocket(request)
        await ws.prepare(request)
        tcp = request.transport
        if tcp is None or not self.allow_upgrades or socket.upgraded or socket.upgrading:
            turn_away(tcp)
            return ws
        socket.upgrading = ws
        try:
            async with asyncio.timeout(UPGRADE_S):
                if (await ws.receive()).data != "2probe":
                    raise Malformed("no probe")
                await ws.send_str("3probe")
                socket.release()
                if (await ws.receive()).data != "5":
                    raise Malformed("no upgrade")
        except (TimeoutError, Malformed, ConnectionError):
            turn_away(tcp)
            return ws
        finally:
            socket.upgrading = None
        if socket.closed:
            turn_away(tcp)
        else:
            socket.attach(tcp)
            await socket.listen(ws)
        return ws

    def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        # As the reference implementation: the first subprotocol that was asked for.
        asked = request.headers.get("Sec-WebSocket-Protocol", "").split(",")[0].strip()
        ws = web.WebSocketResponse(
            compress=False,
            max_msg_size=self.max_http_buffer_size,
            timeout=UPGRADE_S,
            protocols=[asked] if asked else [],
        )
        try:
            possible = bool(ws.can_prepare(request))
        except ValueError:  # a key with bytes that are not ASCII
            possible = False
        if not possible:
            raise BadHandshake(3, "Bad request: not a WebSocket handshake")
        return ws

    async def _body(self, request: web.Request) -> list[str | bytes]:
        """The packets of a polling body, read to its end."""
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                if (request.content_length or 0) > self.max_http_buffer_size:
                    raise Malformed(too_large("a body", self.max_http_buffer_size))
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > self.max_http_buffer_size:
                        raise Malformed(too_large("a body", self.max_http_buffer_size))
        except (TimeoutError, OSError, web.RequestPayloadError, http_exceptions.BadHttpMessage):
            raise Malformed("a body that broke off") from None
        return split_payload(bytes(body))

    # ------------------------------------------------------------- messages

    def put(self, sid: str, batch: Packets) -> None:
        """Send to one client, if it is still there. Never waits."""
        if socket := self.sockets.get(sid):
            socket.put(batch)

    async def send(self, sid: str, data: Any) -> None:
        if isinstance(data, dict | list):
            data = msgspec.json.encode(data).decode()
        self.put(sid, Packets.messages([data]))

    async def send_packet(self, sid: str, pkt: Any) -> None:
        encoded = pkt.encode()
        self.put(
            sid, Packets([encoded.encode() if isinstance(encoded, str) else bytearray(encoded)])
        )

    async def disconnect(self, sid: str | None = None) -> None:
        for socket in [self.sockets.get(sid)] if sid else list(self.sockets.values()):
            if socket:
                socket.close(self.reason.SERVER_DISCONNECT)

    async def shutdown(self) -> None:
        """Close every socket and wait for the handlers of their ends."""
        await self.disconnect()
        if self._watch:
            self._watch.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    # ---------------------------------------------------- for the sockets

    def refused(self, remote: str | None, why: str) -> None:
        """Say in the log that a client does not keep to the protocol."""
        self._notices.refused(remote, why)

    def message(self, socket: Socket, data: str | bytes) -> None:
        if handler := self.handlers.get("message"):
            socket.run(handler, socket.sid, data)

    def forget(self, socket: Socket, reason: str) -> None:
        """A socket has closed."""
        self.watched.discard(socket)
        self.closed[reason] += 1
        if self.sockets.pop(socket.sid, None) and (handler := self.handlers.get("disconnect")):
            socket.run(handler, socket.sid, reason, later=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def watch(self, socket: Socket) -> None:
        """Look after a client for which something waits, until nothing does."""
        self.watched.add(socket)
        if self._watch is None:
            self._watch = self.loop.call_later(WATCH_S, self._look)

    def _look(self) -> None:
        self._watch = None
        for socket in list(self.watched):
            if not socket.check():
                self.watched.discard(socket)
        if self.watched:
            self._watch = self.loop.call_later(WATCH_S, self._look)


def library_logger() -> logging.Logger:
    """For what the libraries still log; below a warning they would name what clients do."""
    quiet = logging.getLogger(f"{__package__}.engineio")
    quiet.setLevel(logging.WARNING)
    return quiet


def text(body: bytes) -> web.Response:
    return web.Response(
        body=body, content_type="text/plain", charset="utf-8", headers={"Cache-Control": "no-store"}
    )


def turn_away(tcp: asyncio.Transport | None) -> None:
    """End a WebSocket that belongs to no session; nobody waits for its answer."""
    if tcp is not None and not tcp.is_closing():
        tcp.write(close_frame(1002))
        tcp.close()

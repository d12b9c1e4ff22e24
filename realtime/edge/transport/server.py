"""Socket.IO 5 over the engine, for any application.

server = SocketServer(namespaces=["/", "/chat"])
server.on("message", lambda sid, data: "the ack's data")
server.attach(app)
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import socketio
from socketio import packet as sio
from socketio.exceptions import ConnectionRefusedError as Rejected

from .engine import Engine, library_logger
from .packets import Malformed, Packet, Packets

logger = logging.getLogger(__name__)

NOT_CONNECTED = "not connected in time"
UNCONNECTED = "a packet for a namespace that the client is not connected to"
NO_BINARY = "a binary packet: this server takes JSON only"


class Manager(socketio.AsyncManager):  # type: ignore[misc]
    """Rooms, and one encoded packet on each member's queue, without a task for each."""

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Callable[..., Any] | None = None,
        to: Any = None,
        **_: Any,
    ) -> None:
        arguments = list(data) if isinstance(data, tuple) else [] if data is None else [data]
        skipped = skip_sid if isinstance(skip_sid, list) else [skip_sid]
        batch = None
        for sid, eio_sid in list(self.get_participants(namespace, to or room)):
            if sid in skipped:
                continue
            if batch is None or callback:
                id = self._generate_ack_id(sid, callback) if callback else None
                batch = encode(sio.EVENT, namespace, [event, *arguments], id)
            self.server.eio.put(eio_sid, batch)


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """A Socket.IO server.

    Handlers of one client run one at a time and in order; a handler's error is logged once
    and acked `internal`, an event without a handler is acked `bad_request`. A client that
    has no namespace for `connect_timeout_s` is closed. With `binary=False` binary packets
    count as malformed. Other options are those of `Engine` and of python-socketio.
    """

    def __init__(
        self, *, connect_timeout_s: float = 5.0, binary: bool = True, **options: Any
    ) -> None:
        options.setdefault("client_manager", Manager())
        options["serializer"] = Packet
        options["async_mode"] = "aiohttp"
        options["logger"] = library_logger()
        super().__init__(**options)
        self.connect_timeout_s = connect_timeout_s
        self.binary = binary
        self.manager.initialize()
        self._awaited: dict[str, asyncio.TimerHandle] = {}

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    # ------------------------------------------------------- the engine's events

    def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        self.environ[eio_sid] = environ
        self._await_connect(eio_sid)

    def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket is None:
            return
        try:
            packet = self._decode(eio_sid, data)
        except Malformed as error:
            socket.reject(str(error))
        else:
            if packet:
                socket.run(self._take, eio_sid, packet)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._drop_wait(eio_sid)
        self._binary_packet.pop(eio_sid, None)
        self.environ.pop(eio_sid, None)
        for namespace in list(self.manager.get_namespaces()):
            await self._handle_disconnect(eio_sid, namespace, reason)

    def _await_connect(self, eio_sid: str) -> None:
        self._drop_wait(eio_sid)
        if socket := self.eio.sockets.get(eio_sid):
            self._awaited[eio_sid] = self.eio.loop.call_later(
                self.connect_timeout_s, socket.reject, NOT_CONNECTED, NOT_CONNECTED
            )

    def _await_another(self, eio_sid: str) -> None:
        """A client that has left its last namespace may connect again, soon."""
        if not any(self._sid(eio_sid, other) for other in self.manager.get_namespaces()):
            self._await_connect(eio_sid)

    def _drop_wait(self, eio_sid: str) -> None:
        if timer := self._awaited.pop(eio_sid, None):
            timer.cancel()

    # ------------------------------------------------------------------ packets

    def _decode(self, eio_sid: str, data: str | bytes) -> Packet | None:
        """The packet, once it is whole. Raises `Malformed`."""
        if isinstance(data, bytes):
            packet: Packet | None = self._binary_packet.get(eio_sid)
            if packet is None:
                raise Malformed("an attachment of nothing" if self.binary else NO_BINARY)
            if not packet.add_attachment(data):
                return None
            del self._binary_packet[eio_sid]
            return packet
        if not data or eio_sid in self._binary_packet:
            raise Malformed("a text that is not a Socket.IO packet")
        packet = Packet(encoded_packet=data)
        if packet.packet_type in (sio.BINARY_EVENT, sio.BINARY_ACK):
            if not self.binary:
                raise Malformed(NO_BINARY)
            if not self._sid(eio_sid, packet.namespace or "/"):
                raise Malformed(UNCONNECTED)
            if packet.attachment_count:
                self._binary_packet[eio_sid] = packet
                return None
            packet.data = packet.reconstruct_binary(packet.data, [])
        return packet

    def _sid(self, eio_sid: str, namespace: str) -> str | None:
        sid: str | None = self.manager.sid_from_eio_sid(eio_sid, namespace)
        return sid if sid and self.manager.is_connected(sid, namespace) else None

    def _take(self, eio_sid: str, packet: Packet) -> Any:
        """One whole packet, in its turn."""
        namespace, kind = packet.namespace or "/", packet.packet_type
        if kind == sio.CONNECT:
            return self._handle_connect(eio_sid, namespace, packet.data)
        if self._sid(eio_sid, namespace) is None:
            return self._refuse(eio_sid, UNCONNECTED)
        if kind == sio.DISCONNECT:
            return self._handle_disconnect(eio_sid, namespace)
        if kind in (sio.EVENT, sio.BINARY_EVENT):
            return self._handle_event(eio_sid, namespace, packet.id, packet.data)
        return self._handle_ack(eio_sid, namespace, packet.id, packet.data)

    def _refuse(self, eio_sid: str, why: str) -> None:
        if socket := self.eio.sockets.get(eio_sid):
            socket.reject(why)

    def _put(
        self, eio_sid: str, kind: int, namespace: str, data: Any, id: int | None = None
    ) -> None:
        self.eio.put(eio_sid, encode(kind, namespace, data, id))

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        if self.manager.sid_from_eio_sid(eio_sid, namespace):
            return self._refuse(eio_sid, "a second CONNECT to a namespace")
        known = namespace in self.handlers or namespace in self.namespace_handlers
        if not known and self.namespaces != "*" and namespace not in self.namespaces:
            return self._put(
                eio_sid, sio.CONNECT_ERROR, namespace, {"message": "Invalid namespace"}
            )
        if eio_sid not in self.environ:
            return None
        sid = await self.manager.pre_connect(eio_sid, namespace)
        self._drop_wait(eio_sid)
        if self.always_connect:
            await self._connected(eio_sid, sid, namespace)
        refusal: Any = None
        try:
            environ = self.environ[eio_sid]
            if await self._trigger_event("connect", namespace, sid, environ, data) is False:
                refusal = {"message": "Connection rejected by server"}
        except Rejected as error:
            refusal = error.error_args
        except ConnectionRefusedError:
            refusal = {"message": "Connection refused by server"}
        except Exception as error:
            refusal = {"message": self._failed("connect", error)}
        if refusal is None:
            if not self.always_connect:
                await self._connected(eio_sid, sid, namespace)
            return None
        await self.manager.disconnect(sid, namespace, ignore_queue=True)
        if self.always_connect:
            self._put(eio_sid, sio.DISCONNECT, namespace, None)
        else:
            self._put(eio_sid, sio.CONNECT_ERROR, namespace, refusal)
        return self._await_another(eio_sid)

    async def _connected(self, eio_sid: str, sid: str, namespace: str) -> None:
        self._put(eio_sid, sio.CONNECT, namespace, {"sid": sid})
        await self.manager.connect(sid, namespace)

    async def _handle_disconnect(
        self, eio_sid: str, namespace: str, reason: str | None = None
    ) -> None:
        """Out of every room first, so that nobody meets a ghost; then the handler."""
        sid = self._sid(eio_sid, namespace)
        if sid is None:
            return
        self._binary_packet.pop(eio_sid, None)
        await self.manager.disconnect(sid, namespace, ignore_queue=True)
        self._await_another(eio_sid)
        try:
            reason = reason or self.reason.CLIENT_DISCONNECT
            await self._trigger_event("disconnect", namespace, sid, reason)
        except Exception as error:
            self._failed("disconnect", error)

    def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> Any:
        return self._serve(eio_sid, namespace, id, data)

    async def disconnect(
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False
    ) -> None:
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace or "/")
        await super().disconnect(sid, namespace, ignore_queue)
        if eio_sid:
            self._await_another(eio_sid)

    async def _serve(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        sid = self._sid(eio_sid, namespace)
        try:
            answer = await self._trigger_event(data[0], namespace, sid, *data[1:])
        except Exception as error:
            answer = error_ack("internal", self._failed("event", error))
        else:
            if answer is self.not_handled:
                answer = error_ack("bad_request", "unknown event")
        if id is not None:
            if not isinstance(answer, tuple):
                answer = () if answer is None else (answer,)
            self._put(eio_sid, sio.ACK, namespace, list(answer), id)

    async def _handle_ack(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        sid = self._sid(eio_sid, namespace)
        callback = self.manager.callbacks.get(sid, {}).pop(id, None) if id else None
        if callback is None:
            return self._refuse(eio_sid, "an ack that the server did not ask for")
        answer = callback(*data)
        if inspect.isawaitable(answer):
            await answer
        return None

    # ----------------------------------------------------------------- handlers

    async def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        """Call the application's handler, once. Raises what it raises."""
        handler, args = self._get_event_handler(event, namespace, args)
        if handler is None:
            instance, args = self._get_namespace_handler(namespace, args)
            if instance is None:
                return self.not_handled
            return await instance.trigger_event(event, *args)
        if event in ("connect", "disconnect"):
            args = fitting(handler, args)
        answer = handler(*args)
        return await answer if inspect.isawaitable(answer) else answer

    def _failed(self, what: str, error: Exception) -> str:
        """Log a handler's error; what the client may know of it."""
        request_id = uuid4().hex[:12]
        logger.error("a handler failed: %s", what, exc_info=error, extra={"request_id": request_id})
        return f"internal error; request {request_id}"


def encode(kind: int, namespace: str, data: Any, id: int | None = None) -> Packets:
    encoded = Packet(kind, data=data, namespace=namespace, id=id).encode()
    return Packets.messages(encoded if isinstance(encoded, list) else [encoded])


def error_ack(code: str, message: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "message": message, "retryable": False}}


def fitting(handler: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without the last argument where the handler does not take it, as older ones do not."""
    try:
        inspect.signature(handler).bind(*args)
    except TypeError:
        return args[:-1]
    except ValueError:
        pass
    return args

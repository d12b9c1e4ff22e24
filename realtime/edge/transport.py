"""Socket.IO as this server uses it. The only module that touches python-socketio.

What is replaced of the library, and why:
- `_handle_event`: a client's event never reaches the library's own life-cycle handlers,
  is never run concurrently with another one of the same client, and is always acked.
- `manager.emit` is not used: a broadcast is encoded once and put on each member's send
  queue, without a task a recipient and without waiting for anyone.
- the polling body is read to its end, where the library reads one segment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import socketio
from aiohttp import web
from engineio import packet as eio_packet

from realtime.protocol import EVENT_NAMES, Event, to_json

NAMESPACE = "/"
MAX_FRAME = 64 * 1024

Reply = Callable[[dict[str, Any]], None]
OnConnect = Callable[[str, Any, web.Request], None]
OnCommand = Callable[[str, str, Any, Reply], None]
OnDisconnect = Callable[[str, str], None]


def room_of(session_id: str) -> str:
    return f"session:{session_id}"


def _frame(name: str, payload: bytes) -> str:
    return f'2["{name}",{payload.decode()}]'


class Transport(socketio.AsyncServer):  # type: ignore[misc]
    """The Socket.IO server and the rooms. Its three callbacks must not wait for anything.

    `on_connect(sid, auth, request)` after the client was told that it is connected,
    `on_command(sid, name, payload, reply)` for each event of its own, in order,
    `on_disconnect(sid, reason)` once.
    """

    on_client: OnConnect
    on_command: OnCommand
    on_gone: OnDisconnect

    def __init__(self, *, origins: Sequence[str], transports: Sequence[str]) -> None:
        super().__init__(
            async_mode="aiohttp",
            always_connect=True,
            cors_allowed_origins=list(origins) or None,
            cors_credentials=True,
            transports=list(transports),
            max_http_buffer_size=MAX_FRAME,
            logger=False,
            engineio_logger=False,
        )
        self._closing: set[asyncio.Future[None]] = set()
        self.on("connect", self._connected)
        self.on("disconnect", self._gone)

    # ------------------------------------------------------------ incoming

    async def _connected(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        self.on_client(sid, auth, environ["aiohttp.request"])

    async def _gone(self, sid: str, reason: str) -> None:
        self.on_gone(sid, reason)

    async def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace or NAMESPACE)
        if sid is None or not self.manager.is_connected(sid, namespace or NAMESPACE):
            return

        def reply(answer: dict[str, Any]) -> None:
            if id is not None:
                self._put(eio_sid, f"3{id}[{to_json(answer).decode()}]")

        if not (isinstance(data, list) and data and isinstance(data[0], str)) or len(data) > 2:
            message = "an event is a name and one JSON object"
            reply(
                {
                    "ok": False,
                    "error": {"code": "bad_request", "message": message, "retryable": False},
                }
            )
            return
        self.on_command(sid, data[0], data[1] if len(data) == 2 else None, reply)

    # ------------------------------------------------------------ outgoing

    def _put(self, eio_sid: str, frame: str) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket and not socket.closed:
            socket.queue.put_nowait(eio_packet.Packet(eio_packet.MESSAGE, frame))

    def _members(self, room: str | None) -> list[str]:
        members = self.manager.rooms.get(NAMESPACE, {}).get(room)
        return list(members.values()) if members else []

    def tell(self, sid: str, name: str, payload: dict[str, Any]) -> None:
        """Send an ephemeral event to one socket."""
        eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        if eio_sid:
            self._put(eio_sid, _frame(name, to_json(payload)))

    def tell_all(self, name: str, payload: dict[str, Any]) -> None:
        frame = _frame(name, to_json(payload))
        for eio_sid in self._members(None):
            self._put(eio_sid, frame)

    def enter(self, sid: str, session_id: str) -> None:
        """Put a connected socket in a session's room."""
        self.manager.basic_enter_room(sid, NAMESPACE, room_of(session_id))

    def leave(self, sid: str, session_id: str) -> None:
        self.manager.basic_leave_room(sid, NAMESPACE, room_of(session_id))

    def broadcast(self, session_id: str, events: Sequence[Event]) -> None:
        members = self._members(room_of(session_id))
        if not members:
            return
        for event in events:
            frame = _frame(EVENT_NAMES[type(event)], to_json(event))
            for eio_sid in members:
                self._put(eio_sid, frame)

    def presence(self, session_id: str, devices: int) -> None:
        frame = _frame("presence", to_json({"session_id": session_id, "devices": devices}))
        for eio_sid in self._members(room_of(session_id)):
            self._put(eio_sid, frame)

    def drop(self, session_id: str) -> None:
        """Close the transports in a room: clients come back, as after a lost network."""
        for eio_sid in self._members(room_of(session_id)):
            self._close(eio_sid)

    def shut(self, sid: str) -> None:
        """Close one socket's transport: a client comes back, as after a lost network."""
        if eio_sid := self.manager.eio_sid_from_sid(sid, NAMESPACE):
            self._close(eio_sid)

    def drop_all(self) -> None:
        for eio_sid in list(self.eio.sockets):
            self._close(eio_sid)

    def _close(self, eio_sid: str) -> None:
        if socket := self.eio.sockets.get(eio_sid):
            socket.queue.put_nowait(None)  # the writer closes the WebSocket behind what waits
            if not socket.upgraded:
                task = asyncio.ensure_future(socket.close(wait=False, abort=True))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

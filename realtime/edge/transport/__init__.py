"""Socket.IO as this server uses it. The only modules that touch python-socketio and engineio.

`Engine` (Engine.IO 4) and `SocketServer` (Socket.IO 5) serve any application; `Transport` is
the second with this server's sessions as rooms. What is replaced of the libraries, and why:

- `engineio`: the handling of requests, `AsyncSocket` and the aiohttp driver. As they ship a
  polling body in several segments is answered and dropped, the send queue has no bound, a
  malformed frame is only noticed by the ping timeout, `disconnect` handlers run inside a
  send, liveness follows the wall clock, intervals below a second become 0, frames are
  compressed one by one, and each message costs a task or two. Here a WebSocket's queue is
  the write buffer of its TCP transport; frames are encoded once and written to each.
- `socketio.AsyncServer._handle_eio_*`, `_handle_connect`, `_handle_disconnect`,
  `_handle_event`, `_handle_ack`, `_trigger_event`: a client could call the application's
  life-cycle handlers, leave ghosts in rooms, and was not answered by a handler that failed;
  a TypeError in a handler called it twice. Nobody had to CONNECT.
- `socketio.AsyncManager.emit`: one task a recipient.
- `socketio.packet.Packet.decode`: lenient, of any depth, with any number of attachments.

Used as they are: registration of handlers, the table of rooms, ids, client sessions, `emit`,
`call`, `disconnect` and class-based namespaces. `tests/abuse/test_seams.py` fails when an
upgrade moves one of these places.

Where the protocol leaves a choice: a malformed packet, an event outside a connected
namespace, a second CONNECT, a wrong ack id, two polls or two bodies at once close the
transport; Socket.IO's DISCONNECT is never sent by `Transport`, because stock clients do not
come back after it. JSONP and compression of polling bodies are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from aiohttp import web

from ...core.rows import SessionRow
from ...log.encode import Append
from ...protocol import EVENT_NAMES, Present, Progress, to_json
from .engine import Engine
from .packets import Packets
from .server import SocketServer, error_ack

__all__ = ["MAX_FRAME", "Engine", "Reply", "SocketServer", "Transport"]

NAMESPACE = "/"
MAX_FRAME = 64 * 1024
CONNECT_TIMEOUT_S = 5.0

Members = Collection[tuple[str, str]]
Reply = Callable[[dict[str, Any]], None]
OnConnect = Callable[[str, Any, web.Request], None]
OnCommand = Callable[[str, str, Any, Reply], None]
OnDisconnect = Callable[[str, str], None]


def room_of(session_id: str) -> str:
    return f"session:{session_id}"


def room_of_user(user_id: str) -> str:
    return f"user:{user_id}"


def _event(name: str, payload: bytes) -> bytes:
    return b'42["%b",%b]' % (name.encode(), payload)


_BEGINNINGS = {kind: b'42["%b",' % name.encode() for kind, name in EVENT_NAMES.items()}


class Transport(SocketServer):
    """The Socket.IO server and the rooms. Its three callbacks must not wait for anything.

    `on_client(sid, auth, request)` after the client was told that it is connected,
    `on_command(sid, name, payload, reply)` for each event of its own, in order,
    `on_gone(sid, reason)` once. `closed[reason]` counts how connections ended.
    """

    on_client: OnConnect
    on_command: OnCommand
    on_gone: OnDisconnect

    def __init__(
        self,
        *,
        origins: Sequence[str],
        transports: Sequence[str],
        max_queue_bytes: int = 256 * 1024,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        **options: Any,
    ) -> None:
        super().__init__(
            always_connect=True,
            binary=False,
            cors_allowed_origins=list(origins),
            transports=list(transports),
            max_http_buffer_size=MAX_FRAME,
            max_queue_bytes=max_queue_bytes,
            connect_timeout_s=connect_timeout_s,
            **options,
        )
        self.on("connect", self._came)
        self.on("disconnect", self._left)

    @property
    def closed(self) -> dict[str, int]:
        return dict(self.eio.closed)

    # ------------------------------------------------------------ incoming

    def _came(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        self.on_client(sid, auth, environ["aiohttp.request"])

    def _left(self, sid: str, reason: str) -> None:
        self.on_gone(sid, reason)

    def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        def reply(answer: dict[str, Any]) -> None:
            if id is not None:
                self.eio.put(eio_sid, Packets([b"43%d[%b]" % (id, to_json(answer))]))

        if len(data) > 2:
            reply(error_ack("bad_request", "an event is a name and one JSON object"))
            return
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        self.on_command(sid, data[0], data[1] if len(data) == 2 else None, reply)

    # ------------------------------------------------------------ outgoing

    def _members(self, room: str | None) -> Members:
        """Who is in a room, each with the id of the engine's socket; in None is everybody."""
        rooms = self.manager.rooms.get(NAMESPACE)
        members: Mapping[str, str] | None = rooms and rooms.get(room)
        return members.items() if members is not None else ()

    def _put_all(self, members: Members, events: Sequence[bytes]) -> None:
        """Encoded once, put on each member's queue; waits for nobody."""
        batch = Packets(events)
        sockets = self.eio.sockets
        for _, eio_sid in members:
            if socket := sockets.get(eio_sid):
                socket.put(batch)

    def tell(self, sid: str, name: str, payload: dict[str, Any]) -> None:
        """Send an ephemeral event to one socket."""
        if eio_sid := self.manager.eio_sid_from_sid(sid, NAMESPACE):
            self.eio.put(eio_sid, Packets([_event(name, to_json(payload))]))

    def tell_all(self, name: str, payload: dict[str, Any]) -> None:
        self._put_all(self._members(None), [_event(name, to_json(payload))])

    def enter(self, sid: str, session_id: str) -> None:
        """Put a connected socket in a session's room."""
        self.manager.basic_enter_room(sid, NAMESPACE, room_of(session_id))

    def leave(self, sid: str, session_id: str) -> None:
        self.manager.basic_leave_room(sid, NAMESPACE, room_of(session_id))

    def broadcast(self, append: Append) -> None:
        """Show committed events to their session's room."""
        if members := self._members(room_of(append.session_id)):
            events = [
                b"%b%b]" % (_BEGINNINGS[type(event)], payload)
                for event, payload in zip(append.events, append.payloads, strict=True)
            ]
            self._put_all(members, events)

    def show(self, session_id: str, entries: Sequence[tuple[str, bytes]]) -> None:
        if members := self._members(room_of(session_id)):
            self._put_all(members, [_event(name, payload) for name, payload in entries])

    def enter_list(self, sid: str, user_id: str) -> None:
        """Show a socket what changes in the list of this user, who is its own."""
        self.manager.basic_enter_room(sid, NAMESPACE, room_of_user(user_id))

    def listed(self, user_id: str, changed: Sequence[SessionRow], deleted: Sequence[str]) -> None:
        if members := self._members(room_of_user(user_id)):
            payload = {"sessions": changed, "deleted": deleted}
            self._put_all(members, [_event("sessions", to_json(payload))])

    def presence(self, present: Present) -> None:
        self._put_all(
            self._members(room_of(present.session_id)), [_event("presence", to_json(present))]
        )

    def progress(self, report: Progress) -> None:
        self._put_all(
            self._members(room_of(report.session_id)), [_event("progress", to_json(report))]
        )

    def drop(self, session_id: str) -> None:
        """Close the transports in a room: clients come back, as after a lost network."""
        for _, eio_sid in list(self._members(room_of(session_id))):
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
            socket.close(self.reason.SERVER_DISCONNECT)

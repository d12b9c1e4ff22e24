"""The clients: WebSockets by hand, and upon them what each relay speaks.

They offer permessage-deflate, as every browser does; whether frames are compressed is the
relay's choice, and its cost. A frame of tokens is taken apart by position (`upstream.TOKEN`),
so that one core can feed and watch hundreds of sessions.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from array import array
from uuid import uuid4

from bench.upstream import TOKEN


class Tally:
    """What all clients of a measurement saw. Latencies in microseconds, in order of receipt."""

    def __init__(self) -> None:
        self.latencies = array("q")
        self.first: list[float] = []  # ms from `ask` to the first token
        self.lost = 0
        self.doubled = 0
        self.frames = 0
        self.compressed = 0


class Client(asyncio.Protocol):
    """A WebSocket client that asks once at a time and counts what comes back.

    `ready` is set when the relay can be asked, `finished` when the answer has ended; both
    fail when the connection is lost.
    """

    path = "/"

    def __init__(self, tally: Tally) -> None:
        loop = asyncio.get_running_loop()
        self.tally = tally
        self.ready: asyncio.Future[None] = loop.create_future()
        self.finished: asyncio.Future[None] = loop.create_future()
        self._inflate: zlib._Decompress | None = None
        self._fresh_inflate = False
        self._rest = b""
        self._upgraded = False
        self._next = 0
        self._asked_at = 0

    # --------------------------------------------------------------- connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        host, port = transport.get_extra_info("peername")[:2]
        transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: "
            "permessage-deflate; client_max_window_bits\r\n\r\n".encode()
        )

    def connection_lost(self, error: Exception | None) -> None:
        self.fail("the relay closed the connection")

    def fail(self, why: str) -> None:
        for future in (self.ready, self.finished):
            if not future.done():
                future.set_exception(ConnectionError(why))
            future.exception()  # whoever waits still gets it

    def close(self) -> None:
        self._transport.abort()

    def send(self, text: str) -> None:
        self.send_frame(text.encode(), 1)

    def send_frame(self, payload: bytes, opcode: int) -> None:
        """Send one frame, masked with zeros."""
        assert len(payload) < 65536
        head = bytes((0x80 | opcode, 0x80 | min(len(payload), 126)))
        if len(payload) > 125:
            head += len(payload).to_bytes(2)
        self._transport.write(head + b"\0\0\0\0" + payload)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns() // 1000
        if self._rest:
            data = self._rest + data
        if not self._upgraded:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            self._upgrade(head.lower())
        at, end = 0, len(data)
        while end - at >= 2:
            length, start = data[at + 1], at + 2
            if length >= 126:
                start = at + (4 if length == 126 else 10)
                length = int.from_bytes(data[at + 2 : start])
            if start > end or start + length > end:
                break
            first, payload = data[at], data[start : start + length]
            at = start + length
            if first == 0x81:
                self.received(payload, now)
            else:
                self._other_frame(first, payload, now)
        self._rest = data[at:]

    def _upgrade(self, head: bytes) -> None:
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            self._transport.abort()
            return
        self._upgraded = True
        if b"permessage-deflate" in head:
            self._fresh_inflate = b"server_no_context_takeover" in head
            self._inflate = zlib.decompressobj(-15)
        self.opened()

    def _other_frame(self, first: int, payload: bytes, now: int) -> None:
        if first == 0xC1 and self._inflate:
            self.tally.compressed += 1
            inflate = zlib.decompressobj(-15) if self._fresh_inflate else self._inflate
            self.received(inflate.decompress(payload + b"\0\0\xff\xff"), now)
        elif first == 0x89:
            self.send_frame(payload, 10)
        elif first == 0x88:
            self._transport.abort()
        elif first != 0x8A:
            raise AssertionError(f"a frame that no relay here sends: {first:#x}")

    # ------------------------------------------------------------------ what is said

    def ask(self, text: str) -> None:
        """Send a user message; `finished` is then for its answer."""
        self._next = 0
        self._asked_at = time.monotonic_ns() // 1000
        if self.finished.done():
            self.finished = asyncio.get_running_loop().create_future()
        self.send(self.question(text))

    def tokens(self, payload: bytes, marker: bytes, now: int) -> None:
        """Count the tokens of the string behind the marker."""
        at = payload.index(marker) + len(marker)
        end = payload.index(b'"', at)
        assert (end - at) % TOKEN == 0, payload
        tally = self.tally
        tally.frames += 1
        if self._next == 0 and end > at:
            tally.first.append((now - self._asked_at) / 1000)
        while at < end:
            number = int(payload[at + 11 : at + 15], 16)
            tally.latencies.append(now - int(payload[at : at + 11], 16))
            if number != self._next:
                tally.lost += max(0, number - self._next)
                tally.doubled += number < self._next
            self._next = max(self._next, number + 1)
            at += TOKEN

    def end(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)

    @property
    def received_tokens(self) -> int:
        return self._next

    def opened(self) -> None:
        """The WebSocket is open."""
        self.be_ready()

    def be_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def question(self, text: str) -> str:
        raise NotImplementedError

    def received(self, payload: bytes, now: int) -> None:
        raise NotImplementedError


class Plain(Client):
    """JSON frames: `{"text"}` there, `{"event": "token", "delta"}` and `{"event": "done"}` back."""

    path = "/ws"

    def question(self, text: str) -> str:
        return json.dumps({"text": text})

    def received(self, payload: bytes, now: int) -> None:
        if payload.startswith(b'{"event":"token"'):
            self.tokens(payload, b'"delta":"', now)
        elif payload.startswith(b'{"event":"done"'):
            self.end()


class SocketIO(Client):
    """Engine.IO 4 and Socket.IO 5: `send` there, `token` and `done` back."""

    path = "/socket.io/?EIO=4&transport=websocket"

    def opened(self) -> None:
        pass

    def auth(self) -> str:
        return ""

    def connected(self) -> None:
        self.be_ready()

    def question(self, text: str) -> str:
        return f'42["send",{json.dumps({"text": text})}]'

    def event(self, payload: bytes, now: int) -> None:
        if payload.startswith(b'42["token",'):
            self.tokens(payload, b'"delta":"', now)
        elif payload.startswith(b'42["done"'):
            self.end()

    def received(self, payload: bytes, now: int) -> None:
        if payload.startswith(b"42"):
            self.event(payload, now)
        elif payload.startswith(b"2"):
            self.send("3")
        elif payload.startswith(b"0"):
            self.send("40" + self.auth())
        elif payload.startswith(b"40"):
            self.connected()


class Ours(SocketIO):
    """This project's protocol: a session comes first, and each message has an id."""

    def connected(self) -> None:
        pass

    def question(self, text: str) -> str:
        return f'42["send",{json.dumps({"text": text, "client_msg_id": str(uuid4())})}]'

    def event(self, payload: bytes, now: int) -> None:
        if payload.startswith(b'42["session",'):
            self.be_ready()
        else:
            super().event(payload, now)


class Chainlit(SocketIO):
    """What Chainlit's own front end says and hears."""

    path = "/ws/socket.io/?EIO=4&transport=websocket"

    def auth(self) -> str:
        return json.dumps(
            {"clientType": "webapp", "sessionId": str(uuid4()), "threadId": "", "userEnv": "{}"}
        )

    def connected(self) -> None:
        self.send('42["connection_successful"]')

    def question(self, text: str) -> str:
        message = {
            "id": str(uuid4()),
            "threadId": "",
            "name": "user",
            "type": "user_message",
            "output": text,
            "createdAt": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return f'42["client_message",{json.dumps({"message": message, "fileReferences": []})}]'

    def event(self, payload: bytes, now: int) -> None:
        if payload.startswith(b'42["stream_token",'):
            self.tokens(payload, b'"token":"', now)
        elif payload.startswith(b'42["stream_start",'):
            self.tokens(payload, b'"output":"', now)
        elif payload.startswith(b'42["task_end"'):
            if self.ready.done():
                self.end()
        elif payload.startswith(b'42["clear_call_fn"'):
            self.be_ready()

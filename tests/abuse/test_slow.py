"""Who does not read, and who is not there any more: dropped, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from realtime.edge.transport import Engine
from realtime.edge.transport.packets import Packets
from realtime.log.encode import encoded
from realtime.protocol import Token
from tests.abuse.conftest import Host, echo_server
from tests.abuse.test_attacks import joined
from tests.abuse.test_socket_io import nothing_left
from tests.abuse.wire import Wire, hear, masked, raw_websocket, until
from tests.support.device import Device
from tests.support.serving import Serve

LINE = "x" * 1000
Devices = Callable[..., Device]


async def deaf_websocket(url: str, first: bytes = b"") -> asyncio.StreamWriter:
    """A WebSocket that reads nothing from here on, and so cannot be written to for long."""
    _, writer = await raw_websocket(url, receive_buffer=4096)
    writer.write(first)
    writer.transport.pause_reading()
    return writer


@pytest.mark.parametrize("kind", ["silent", "sends pongs", "polling", "polling, sends pongs"])
async def test_who_does_not_read_is_dropped_and_the_room_goes_on(
    host: Host, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = echo_server(ping_interval=25)
    wire = await host(server)
    here = await wire.connected()
    if kind.startswith("polling"):
        sid = await wire.session()
        await wire.ask("POST", "40", sid=sid)
        writer = None
    else:
        writer = await deaf_websocket(wire.url, masked(1, b"40"))
    await until(lambda: len(server.manager.rooms["/"][None]) == 2)
    heard = asyncio.create_task(count(here, 1000))
    begun = time.monotonic()
    for number in range(1000):
        await server.emit("line", LINE)
        if number % 100 == 0:
            await asyncio.sleep(0.01)
            if "pongs" in kind:
                if writer and not writer.is_closing():
                    writer.write(masked(1, b"3"))
                elif not writer:
                    await wire.ask("POST", "3", sid=sid)
    async with asyncio.timeout(20):
        assert await heard == 1000
    await until(lambda: server.eio.closed["slow reader"] == 1)
    assert time.monotonic() - begun < 20  # before the first ping
    assert len(server.manager.rooms["/"][None]) == 1
    assert [line.getMessage() for line in caplog.records].count("dropped: slow reader") == 1
    assert LINE not in caplog.text
    await here.close()
    if writer:
        writer.close()
    await until(lambda: nothing_left(server))


async def count(ws: aiohttp.ClientWebSocketResponse, lines: int) -> int:
    seen = 0
    while seen < lines:
        seen += (await hear(ws)).startswith('42["line"')
    return seen


async def test_who_takes_nothing_for_seconds_is_dropped_below_the_bound(host: Host) -> None:
    engine = Engine(stall_s=1, max_queue_bytes=1 << 30)
    wire = await host(engine)
    writer = await deaf_websocket(wire.url)
    sid = await wire.session()
    lines = [LINE] * 300
    async with asyncio.timeout(20):
        while engine.closed["slow reader"] < 2:
            for socket_id in list(engine.sockets):
                engine.put(socket_id, Packets.messages(lines))
            lines = lines[:1]
            await asyncio.sleep(0.05)
    assert sid not in engine.sockets
    writer.close()


async def test_a_dropped_viewer_resumes_exactly(serve: Serve, device: Devices) -> None:
    running = await serve()
    one = device(running.url)
    session = await one.connect()
    ack = await one.send("count to 300")
    await one.wait("token")
    transport = running.server.transport
    (socket_,) = transport.eio.sockets.values()
    socket_.drop("slow reader")
    await until(lambda: not one.client.connected)
    assert transport.closed == {"slow reader": 1}
    actor = running.server.hub.actor(session["session_id"])
    assert actor
    await until(lambda: actor.committed > one.last_seq)
    again = await one.connect()
    assert (again["mode"], again["session_id"]) == ("replay", session["session_id"])
    done = await one.done(ack["run_id"])
    assert one.text(ack["run_id"]) == done["text"]


async def test_a_broadcast_is_encoded_once_and_starts_no_task(
    serve: Serve, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await serve()
    wire = Wire(http, running.url + "/socket.io/")
    one, session = await joined(wire)
    two, _ = await joined(wire, session_id=session["session_id"], token=session["guest_token"])
    framed: list[int] = []
    import realtime.edge.transport.packets as module

    def counting(payload: bytes, opcode: int = 1, original: Any = module.frame) -> bytes:
        framed.append(len(payload))
        data: bytes = original(payload, opcode)
        return data

    monkeypatch.setattr(module, "frame", counting)
    tasks = asyncio.all_tasks()
    token = Token(
        session_id=session["session_id"], seq=9, ts=1, run_id="r",
        message_id="m", offset=0, delta="né", kind="text",
    )  # fmt: skip
    running.server.transport.broadcast(encoded(token.session_id, 1, [token, token]))
    assert len(framed) == 2
    assert asyncio.all_tasks() == tasks
    for ws in (one, two):
        heard = [text for _ in range(3) if "token" in (text := await hear(ws))]
        assert json.loads(heard[0][2:])[1]["delta"] == "né"
        await ws.close()


async def test_a_step_of_the_wall_clock_drops_nobody(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = echo_server(ping_interval=0.1, ping_timeout=10)
    ws = await (await host(server)).connected()
    real = time.time
    for hour in (3600, -3600):
        monkeypatch.setattr(time, "time", lambda hour=hour: real() + hour)
        for _ in range(3):
            while await hear(ws) != "2":
                pass
            await ws.send_str("3")
    assert len(server.eio.sockets) == 1
    await ws.close()


async def test_who_does_not_take_the_answer_to_a_poll_is_dropped(host: Host) -> None:
    engine = Engine(stall_s=1)
    wire = await host(engine)
    sid = await wire.session()
    engine.put(sid, Packets.messages([LINE * 250]))
    reader, writer = await deaf(wire, sid)
    await until(lambda: not engine.sockets[sid].backlog)
    engine.put(sid, Packets.messages([LINE]))
    await until(lambda: engine.closed["slow reader"] == 1)
    writer.transport.resume_reading()
    async with asyncio.timeout(20):
        answer = await reader.read()
    assert len(answer) < len(LINE) * 250, "the rest was thrown away, and the line cut"
    writer.close()


async def deaf(wire: Wire, sid: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Polls, and does not read the answer."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    at = urlsplit(wire.url)
    await asyncio.get_running_loop().sock_connect(sock, (at.hostname, at.port))
    reader, writer = await asyncio.open_connection(sock=sock)
    writer.transport.pause_reading()
    query = f"EIO=4&transport=polling&sid={sid}"
    writer.write(f"GET {at.path}?{query} HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode())
    return reader, writer

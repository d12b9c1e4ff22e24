"""The product under attack: raw frames and bodies against its real application."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.abuse.test_socket_io import nothing_left
from tests.abuse.wire import (
    AT_ONCE_S,
    Wire,
    closed,
    hear_ack,
    hear_event,
    masked,
    raw_websocket,
    until,
)
from tests.support.device import Device
from tests.support.serving import Running, Serve

Devices = Callable[..., Device]


@pytest.fixture
async def running(serve: Serve) -> Running:
    return await serve()


@pytest.fixture
def wire(running: Running, http: aiohttp.ClientSession) -> Wire:
    return Wire(http, running.url + "/socket.io/")


async def joined(wire: Wire, **auth: str) -> tuple[aiohttp.ClientWebSocketResponse, dict[str, Any]]:
    """A WebSocket and its `session` event."""
    ws = await wire.connected(json.dumps(auth) if auth else "")
    return ws, await hear_event(ws, "session")


# ------------------------------------------------------------------ WebSocket


@pytest.mark.parametrize(
    "packet",
    [
        '42["connect",{"aiohttp.request":1},{}]', '42["disconnect"]', '421["disconnect","x"]',
        '451-["send",{"_placeholder":true,"num":0}]', '4511-["send"]', '430["ack"]', "43[]",
        "42{}", "42[]", "4abc", "", "9", "2", "5", "40", '42/chat,["send"]', b"\x00\x01",
        '42["send",' + "[" * 128 + "]" * 128 + "]",
        '42["send",{"text":', '42["send"]\x1e42["send"]',
    ],
)  # fmt: skip
async def test_a_forged_or_malformed_packet_ends_the_socket_and_nothing_else(
    running: Running, wire: Wire, packet: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ws, session = await joined(wire)
    witness, _ = await joined(wire, session_id=session["session_id"], token=session["guest_token"])
    while (await hear_event(ws, "presence"))["devices"] != 2:
        pass
    await (ws.send_str(packet) if isinstance(packet, str) else ws.send_bytes(packet))
    assert not await closed(ws)
    while (await hear_event(witness, "presence"))["devices"] != 1:
        pass
    assert len(running.server.transport.eio.sockets) == 1
    await witness.send_str('421["history",{}]')
    answer = await hear_ack(witness, 1)
    assert [event["event"] for event in answer["events"]] == ["session_started"]
    await witness.close()
    await until(lambda: nothing_left(running.server.transport))
    assert len(running.server.connections) == 0
    assert not [line for line in caplog.records if line.levelno > logging.INFO]


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        ('421["send",1,2]', "bad_request"),
        ('421["send","text"]', "bad_request"),
        ('421["sudo",{}]', "bad_request"),
        ('421["message"]', "bad_request"),
        ('421["__class__",{}]', "bad_request"),
        ('421["history",{"limit":NaN}]', "bad_request"),
        ('421["stop",{"\\ud800":1}]', "bad_request"),
    ],
)
async def test_what_is_no_command_is_refused_with_an_ack(
    wire: Wire, packet: str, code: str
) -> None:
    ws, _ = await joined(wire)
    await ws.send_str(packet)
    answer = await hear_ack(ws, 1)
    assert (answer["ok"], answer["error"]["code"]) == (False, code)
    await ws.close()


async def test_a_connect_with_something_else_than_an_object_closes(wire: Wire) -> None:
    for packet in ("40[]", "401", '40"token"', "40{", '401{"a":1}', "40/" + "n" * 300):
        ws = await wire.opened()
        await ws.send_str(packet)
        assert not await closed(ws), packet


RAW = {
    "invalid UTF-8": masked(1, b'42["send",{"text":"\xff"}]'),
    "an oversize frame": masked(1, b"4" * (64 * 1024 + 1)),
    "an announced terabyte": bytes([0x81, 0xFF]) + (1 << 40).to_bytes(8, "big") + bytes(8),
    "oversize in fragments": masked(1, b"4" * 40000, 0) + masked(0, b"4" * 40000),
    "a reserved opcode": masked(3, b"x"),
    "a reserved bit": masked(1, b"3", 0xC0),
    "a ping that is too long": masked(9, b"x" * 200),
    "no WebSocket": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("what", RAW)
async def test_a_frame_that_is_none_ends_the_connection(
    running: Running, wire: Wire, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await raw_websocket(wire.url)
    writer.write(RAW[what])
    begun = time.monotonic()
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
    assert time.monotonic() - begun < AT_ONCE_S
    writer.close()
    await until(lambda: nothing_left(running.server.transport))
    assert not [line for line in caplog.records if line.levelno > logging.INFO]


async def test_compression_is_not_negotiated(wire: Wire) -> None:
    more = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    _, writer = await raw_websocket(wire.url, more)
    writer.close()


# -------------------------------------------------------------------- polling


@pytest.mark.parametrize("size", [1, 7, 1400])
async def test_a_body_in_segments_is_delivered(wire: Wire, size: int) -> None:
    sid = await wire.session()
    text = "é" * (100 if size < 100 else 5000)
    body = f'40\x1e421["send",{{"text":"{text}","client_msg_id":"m"}}]'.encode()

    async def segments() -> Any:
        for start in range(0, len(body), size):
            yield body[start : start + size]
            await asyncio.sleep(0)

    at = urlsplit(wire.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(
        f"POST {at.path}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: {at.netloc}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
    )
    async for part in segments():
        writer.write(part)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head
    writer.close()
    heard = ""
    async with asyncio.timeout(20):
        while "user_message" not in heard:
            heard += (await wire.ask(sid=sid))[1]
    assert text in heard


@pytest.mark.parametrize(
    "body", [b"x" * (64 * 1024 + 1), b"4\xff", b"", b"abc", b"bAA", b"d=40", b"40\x1e", b"42[1]"]
)
async def test_a_bad_body_is_answered_400_and_ends_the_session(
    running: Running, wire: Wire, body: bytes
) -> None:
    sid = await wire.session()
    status, text = await wire.ask("POST", body, sid=sid)
    assert status == 400
    assert text
    assert (await wire.ask(sid=sid))[0] == 400
    await until(lambda: nothing_left(running.server.transport))


async def test_two_bodies_at_once_end_the_session(running: Running, wire: Wire) -> None:
    sid = await wire.session()
    at = urlsplit(wire.url)
    _, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(
        f"POST {at.path}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: {at.netloc}\r\n"
        "Content-Length: 10\r\n\r\n40".encode()
    )
    await asyncio.sleep(0.2)
    assert (await wire.ask("POST", "40", sid=sid))[0] == 400
    writer.close()
    await until(lambda: nothing_left(running.server.transport))


async def test_websocket_only_says_so_to_a_polling_client(
    serve: Serve, http: aiohttp.ClientSession
) -> None:
    running = await serve(transports=("websocket",))
    wire = Wire(http, running.url + "/socket.io/")
    status, text = await wire.ask()
    assert status == 400
    refusal = json.loads(text)["message"]
    assert "transport=websocket" in refusal
    for way in ('transports: ["websocket"] in the client', "TRANSPORTS=websocket,polling"):
        assert way in refusal
    ws, _ = await joined(wire)
    await ws.close()


# --------------------------------------------------------------------- origin


@pytest.mark.parametrize(
    ("origin", "more", "status"),
    [
        ("http://{host}", {}, 200),
        ("https://{host}", {}, 200),  # a proxy that speaks TLS for us
        ("https://evil.example", {}, 403),
        ("https://evil.example", {"X-Forwarded-Host": "evil.example"}, 403),
        ("http://{host}.evil.example", {}, 403),
        ("http://[", {}, 403),
        ("null", {}, 403),
        ("https://front.example", {}, 200),
        ("https://front.example.evil.example", {}, 403),
    ],
)
async def test_pages_of_elsewhere_are_refused(
    serve: Serve, http: aiohttp.ClientSession, origin: str, more: dict[str, str], status: int
) -> None:
    running = await serve(allowed_origins=("https://front.example",))
    origin = origin.format(host=urlsplit(running.url).netloc)
    headers = {"Origin": origin, **more}
    url = running.url + "/socket.io/?EIO=4&transport="
    async with http.get(url + "polling", headers=headers) as response:
        assert response.status == status
        allowed = response.headers.get("Access-Control-Allow-Origin")
        assert allowed == (origin if status == 200 else None)
    if status == 200:
        await (await http.ws_connect(url + "websocket", headers=headers)).close()
    else:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(url + "websocket", headers=headers)


# -------------------------------------------------------------------- memory


def rss_kb() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
async def test_hostile_connects_leave_nothing(running: Running, wire: Wire) -> None:
    """Each closes early, late, rudely or not at all; nobody gets as far as a session."""

    async def attack(number: int) -> None:
        kind = number % 4
        if kind == 0:
            sid = await wire.session()
            await wire.ask("POST", "40/none,{}\x1e42[1]", sid=sid)
        elif kind == 1:
            ws = await wire.opened()
            await ws.send_str('451-["x",{"_placeholder":true,"num":0}]')
            await closed(ws, within=10)
        elif kind == 2:
            ws = await wire.opened()
            await ws.send_str("40/none")
            await ws.close()
        else:
            _, writer = await raw_websocket(wire.url)
            writer.transport.abort()

    async def storm(count: int) -> int:
        for start in range(0, count, 50):
            await asyncio.gather(*(attack(start + number) for number in range(50)))
        await until(lambda: nothing_left(running.server.transport))
        return rss_kb()

    await storm(1000)
    before = await storm(1000)
    after = await storm(1000)
    assert after < before * 1.05

"""Who is turned away leaves one line in the log that says why, and nothing of what they sent."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from realtime.edge.notices import MOST, Notices
from realtime.edge.runner import MAX_HEADER
from tests.abuse.wire import Wire, closed, masked, raw_websocket
from tests.support.fetch import fetch
from tests.support.process import Process, server

HIDDEN = "tk-9fQ2vL7xR4"
LONG = HIDDEN + "x" * MAX_HEADER


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Process]:
    async with server(tmp_path, MODEL="demo", ALLOWED_ORIGINS="https://Front.example/") as process:
        yield process
        assert HIDDEN not in process.output
        assert "Traceback" not in process.output


@pytest.fixture
def wire(running: Process, http: aiohttp.ClientSession) -> Wire:
    return Wire(http, running.url + "/socket.io/")


async def raw(running: Process, request: bytes) -> str:
    """What the server answers to these bytes, and that it then closes."""
    at = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(request)
    async with asyncio.timeout(20):
        answer = (await reader.read()).decode()
    writer.close()
    assert HIDDEN not in answer
    return answer


@pytest.mark.parametrize("name", ["Cookie", "Authorization", "X-Whatever"])
async def test_headers_of_other_applications_fit(running: Process, name: str) -> None:
    sent = "a=" + "x" * (MAX_HEADER - 100)
    assert (await fetch(f"{running.url}/healthz", **{name: sent})).status == 200


async def test_a_polling_session_begins_with_large_cookies(wire: Wire) -> None:
    headers = {"Cookie": "; ".join(f"{n}={'x' * 3000}" for n in range(10))}
    query = {"EIO": "4", "transport": "polling"}
    async with wire.http.get(wire.url, params=query, headers=headers) as response:
        assert response.status == 200
    ws = await wire.dial(**headers)
    await ws.close()


UNREADABLE = {
    "a cookie that is too long": (f"GET / HTTP/1.1\r\nCookie: {LONG}\r\n\r\n", "431", "32 KB"),
    "a token that is too long": (
        f"GET / HTTP/1.1\r\nAuthorization: Bearer {LONG}\r\n\r\n", "431", "32 KB",
    ),
    "the name of a header that is too long": (f"GET / HTTP/1.1\r\n{LONG}: 1\r\n\r\n", "431", "32"),
    "an address that is too long": (f"GET /?token={LONG} HTTP/1.1\r\n\r\n", "414", "URL"),
    "no HTTP": (f"{HIDDEN}\r\n\r\n", "400", "not HTTP"),
    "NULs": (f"GET /\0{HIDDEN} HTTP/1.1\r\n\r\n", "400", "cannot be read"),
    "a NUL in a cookie": (f"GET / HTTP/1.1\r\nCookie: {HIDDEN}\0\r\n\r\n", "400", "cannot be read"),
    "a header without a name": (f"GET / HTTP/1.1\r\n: {HIDDEN}\r\n\r\n", "400", "cannot be read"),
    "two hosts": (f"GET / HTTP/1.1\r\nHost: a\r\nHost: {HIDDEN}\r\n\r\n", "400", "cannot be read"),
    "two lengths": (
        f"POST /{HIDDEN} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "400", "cannot be read",
    ),
    "another protocol": (f"GET / SSH/2.0\r\nCookie: {HIDDEN}\r\n\r\n", "400", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_cannot_be_read_is_answered_and_noted_without_its_bytes(
    running: Process, what: str
) -> None:
    request, status, why = UNREADABLE[what]
    for _ in range(3):
        answer = await raw(running, request.encode())
        assert answer.split()[1] == status, answer
        assert why in answer
    await running.says(f"INFO .*refused: .*{why}.* remote=127.0.0.1")
    assert (await fetch(f"{running.url}/healthz")).status == 200
    assert running.output.count("refused: ") == 1


async def test_tls_is_told_from_http(running: Process) -> None:
    at = urlsplit(running.url)
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(
            at.hostname, at.port, ssl=ssl.create_default_context(), server_hostname=HIDDEN
        )
    await running.says("refused: .*TLS")


async def test_who_leaves_before_the_answer_is_no_error(running: Process, wire: Wire) -> None:
    at = urlsplit(wire.url)
    request = (
        f"GET {at.path}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {at.netloc}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    for _ in range(20):
        _, writer = await asyncio.open_connection(at.hostname, at.port)
        writer.write(request.encode())
        writer.write_eof()
        writer.close()
    assert (await fetch(f"{running.url}/healthz")).status == 200
    assert "ERROR" not in running.output


# ------------------------------------------------------------------ the sockets


REFUSED = {
    "a binary frame": (masked(2, b"\4" + HIDDEN.encode()), "binary"),
    "a binary packet": (masked(1, b'451-["send",{"_placeholder":true,"num":0}]'), "binary"),
    "a frame that is too large": (masked(1, b"4" * (64 * 1024 + 1)), "a frame over 64 KB"),
    "a frame that is none": (masked(3, b"x"), "RFC 6455"),
    "a text that is no packet": (masked(1, b"4" + HIDDEN.encode()), "not a Socket.IO packet"),
    "data that is no JSON": (masked(1, b'42["send",' + HIDDEN.encode()), "not JSON"),
    "an event before CONNECT": (masked(1, b'42["send",{}]'), "not connected to"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_socket_that_is_closed_for_what_it_sent_is_noted_once(
    running: Process, wire: Wire, what: str
) -> None:
    frame, why = REFUSED[what]
    for _ in range(3):
        reader, writer = await raw_websocket(wire.url)
        writer.write(frame)
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
        writer.close()
    await running.says(f"INFO .*refused: .*{why}.* remote=127.0.0.1")
    assert (await fetch(f"{running.url}/healthz")).status == 200
    assert running.output.count("refused: ") == 1


async def test_a_frame_that_is_too_large_is_told_by_its_close_code(wire: Wire) -> None:
    ws = await wire.connected()
    await ws.send_str("4" * (64 * 1024 + 1))
    await closed(ws)
    assert ws.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_old_clients_and_bodies_that_are_too_large_are_noted(
    running: Process, wire: Wire
) -> None:
    status, text = await wire.ask(EIO="3")
    assert (status, "EIO=4" in text) == (400, True)
    await running.says("refused: .*EIO=4")
    sid = await wire.session()
    assert (await wire.ask("POST", b"x" * (64 * 1024 + 1), sid=sid))[0] == 400
    await running.says("refused: .*a body over 64 KB")
    assert (await wire.ask(sid="gone"))[0] == 400
    await running.says("refused: Session ID unknown")


# ------------------------------------------------------------------ the origins


async def origin(url: str, origin: str, **headers: str) -> tuple[int, str]:
    answer = await fetch(f"{url}/socket.io/?EIO=4&transport=polling", Origin=origin, **headers)
    return answer.status, answer.text


async def test_a_page_that_is_refused_is_told_with_both_values_and_the_remedy(
    running: Process,
) -> None:
    host = urlsplit(running.url).netloc
    for _ in range(3):
        status, text = await origin(running.url, "https://chat.example")
        assert status == 403
        for told in ("https://chat.example", host, "ALLOWED_ORIGINS", "TRUSTED_PROXIES"):
            assert told in text
    line = (await running.says("WARNING .*https://chat.example.*"))[0]
    for told in (host, "Host header", "ALLOWED_ORIGINS", "TRUSTED_PROXIES", "docs/proxies.md"):
        assert told in line
    assert (await origin(running.url, "null"))[0] == 403
    await running.says("WARNING .*the page's origin is null")
    assert running.output.count("https://chat.example") == 1


async def test_an_origin_that_is_no_text_is_refused_all_the_same(running: Process) -> None:
    host = urlsplit(running.url).netloc.encode()
    head = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nConnection: close\r\nHost: "
    answer = await raw(running, head + host + b"\r\nOrigin: https://\xff\xfe.example\r\n\r\n")
    assert answer.startswith("HTTP/1.1 403")
    await running.says(r"WARNING .*\\udcff")


ORIGINS = [
    ("https://chat.example", "chat.example", 200),
    ("https://chat.example", "chat.example:443", 200),
    ("https://chat.example", "Chat.Example:80", 200),
    ("https://chat.example:443", "chat.example", 200),
    ("http://chat.example", "chat.example:80", 200),
    ("http://[2001:db8::1]", "[2001:db8::1]:80", 200),
    ("https://chat.example:8443", "chat.example:8443", 200),
    ("https://chat.example:8443", "chat.example", 403),
    ("https://chat.example", "chat.example:8443", 403),
    ("https://chat.example", "chat.example.evil", 403),
    ("https://chat.example@evil", "chat.example", 403),
    ("https://evil/chat.example", "chat.example", 403),
    ("chat.example", "chat.example", 403),
    ("", "chat.example", 403),
    ("https://front.example", "chat.example", 200),
    ("https://FRONT.example:443", "chat.example", 200),
    ("http://front.example", "chat.example", 403),
]


async def test_default_ports_are_equal_and_nothing_else_is(running: Process) -> None:
    for page, host, status in ORIGINS:
        assert (await origin(running.url, page, Host=host))[0] == status, (page, host)


async def test_the_forwarded_host_is_compared_alike(tmp_path: Path) -> None:
    async with server(tmp_path, TRUSTED_PROXIES="1") as running:
        forwarded = {"X-Forwarded-Host": "chat.example:443"}
        assert (await origin(running.url, "https://chat.example", **forwarded))[0] == 200
        assert (await origin(running.url, "https://chat.evil", **forwarded))[0] == 403


# ------------------------------------------------------------------ the notices


def test_a_thing_is_said_once_in_a_period_and_memory_is_bounded() -> None:
    now = [0.0]
    notices = Notices(60, clock=lambda: now[0])
    assert [notices.due("a", "late"), notices.due("a", "late")] == [True, False]
    assert notices.due("a", "early"), "each thing has its own"
    now[0] = 59.9
    assert not notices.due("a", "late")
    now[0] = 60.0
    assert notices.due("a", "late")
    assert sum(notices.due(str(number)) for number in range(100_000)) == MOST - 1
    now[0] = 200.0
    assert notices.due("others"), "a storm silences them for a period only"


async def test_a_storm_of_refusals_is_a_few_lines(running: Process) -> None:
    begun = time.monotonic()
    for _ in range(200):
        await raw(running, b"\x16\x03\x01\r\n\r\n")
    lines = len(re.findall("refused: ", running.output))
    assert 1 <= lines <= 1 + (time.monotonic() - begun) // 60

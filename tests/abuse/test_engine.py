"""Engine.IO 4 as its protocol document has it, on the engine alone with an echo application."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from yarl import URL

from realtime.edge.transport import Engine
from tests.abuse.conftest import PING_S, PONG_S, Host
from tests.abuse.wire import Wire, closed, hear, until

HELLO = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}


def check_hello(text: str, upgrades: list[str]) -> None:
    hello = json.loads(text.removeprefix("0"))
    assert set(hello) == HELLO
    assert isinstance(hello["sid"], str)
    assert (hello["pingInterval"], hello["pingTimeout"]) == (1000, 1000)
    assert (hello["upgrades"], hello["maxPayload"]) == (upgrades, 1_000_000)


# ------------------------------------------------------------------- handshake


async def test_a_polling_session_opens(engine: Wire) -> None:
    status, text = await engine.ask()
    assert status == 200
    check_hello(text, ["websocket"])


async def test_a_websocket_session_opens(engine: Wire) -> None:
    ws = await engine.dial()
    check_hello(await hear(ws), [])
    await ws.close()


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", {"EIO": ""}),
        ("GET", {"EIO": "abc"}),
        ("GET", {"EIO": "3"}),
        ("GET", {"transport": ""}),
        ("GET", {"transport": "abc"}),
        ("GET", {"transport": "websocket"}),
        ("GET", {"j": "0"}),
        ("GET", {"sid": "unknown"}),
        ("POST", {}),
        ("PUT", {}),
    ],
)
async def test_a_bad_handshake_is_refused(
    engine: Wire, echo_engine: Engine, method: str, query: dict[str, str]
) -> None:
    status, text = await engine.ask(method, **query)
    assert status == 400
    assert set(json.loads(text)) == {"code", "message"}
    assert not echo_engine.sockets


@pytest.mark.parametrize("query", ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4"])
async def test_a_bad_websocket_handshake_is_refused(
    engine: Wire, echo_engine: Engine, query: str
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await engine.http.ws_connect(f"{engine.url}?{query}")
    assert not echo_engine.sockets


@pytest.mark.parametrize("key", [b"\xff" * 24, b"", b"short", b"===="])
async def test_a_websocket_key_of_any_bytes_is_refused_in_a_sentence(
    engine: Wire, echo_engine: Engine, key: bytes
) -> None:
    where = URL(engine.url)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    writer.write(
        b"GET %b?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
        % (where.raw_path.encode(), key)
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    assert not echo_engine.sockets
    writer.close()


# -------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    "body", ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA==", '4{"a":1}', "4"]
)
async def test_polling_carries_payloads(engine: Wire, body: str) -> None:
    sid = await engine.session()
    assert await engine.ask("POST", body, sid=sid) == (200, "ok")
    assert await engine.ask(sid=sid) == (200, body)


async def test_more_packets_than_a_few_go_in_one_body(engine: Wire) -> None:
    sid = await engine.session()
    body = "\x1e".join(f"4{number}" for number in range(100))
    assert await engine.ask("POST", body, sid=sid) == (200, "ok")
    assert await engine.ask(sid=sid) == (200, body)


@pytest.mark.parametrize("body", ["abc", "", "4a\x1e", "7", "0", "2", "6", "b!", b"4\xff"])
async def test_a_bad_body_ends_the_session(engine: Wire, body: str | bytes) -> None:
    sid = await engine.session()
    assert (await engine.ask("POST", body, sid=sid))[0] == 400
    assert (await engine.ask(sid=sid))[0] == 400


async def test_two_polls_at_once_end_the_session(engine: Wire) -> None:
    sid = await engine.session()
    first = await engine.poll(sid)
    assert (await engine.ask(sid=sid))[0] == 400
    assert await first == (200, "1")
    assert (await engine.ask(sid=sid))[0] == 400


async def test_an_abandoned_poll_ends_the_session(engine: Wire, echo_engine: Engine) -> None:
    sid = await engine.session()
    poll = await engine.poll(sid)
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    assert (await engine.ask(sid=sid))[0] == 400
    assert not echo_engine.sockets


async def test_a_websocket_carries_text_and_bytes(engine: Wire) -> None:
    ws = await engine.opened()
    await ws.send_str("4hello")
    assert await hear(ws) == "4hello"
    await ws.send_bytes(b"\x01\x02\x03\x04")
    assert await hear(ws) == b"\x01\x02\x03\x04"
    await ws.close()


@pytest.mark.parametrize("packet", ["abc", "", "0", "2", "2probe", "5", "6", "7", "bAQID", "3x"])
async def test_a_bad_packet_closes_the_websocket(engine: Wire, packet: str) -> None:
    ws = await engine.opened()
    await ws.send_str(packet)
    assert not await closed(ws)


# ------------------------------------------------------------------- heartbeat


async def test_polling_pings(engine: Wire) -> None:
    sid = await engine.session()
    for _ in range(3):
        assert await engine.ask(sid=sid) == (200, "2")
        assert await engine.ask("POST", "3", sid=sid) == (200, "ok")


async def test_polling_without_pongs_ends(engine: Wire, echo_engine: Engine) -> None:
    sid = await engine.session()
    await until(lambda: not echo_engine.sockets)
    assert (await engine.ask(sid=sid))[0] == 400


async def test_a_websocket_pings(engine: Wire) -> None:
    ws = await engine.opened()
    for _ in range(3):
        assert await hear(ws) == "2"
        await ws.send_str("3")
    await ws.close()


async def test_a_websocket_without_pongs_ends(engine: Wire, echo_engine: Engine) -> None:
    ws = await engine.opened()
    assert await closed(ws, within=PING_S + PONG_S + 3) == ["2"]
    assert echo_engine.closed == {"ping timeout": 1}


async def test_unasked_pongs_do_not_put_off_the_ping(engine: Wire) -> None:
    ws = await engine.opened()
    ping = asyncio.create_task(hear(ws))
    while not ping.done():  # fails after WAIT_S
        await ws.send_str("3")
        await asyncio.sleep(PING_S / 10)
    assert await ping == "2"
    await ws.close()


# ----------------------------------------------------------- close and upgrade


async def test_polling_closes(engine: Wire) -> None:
    sid = await engine.session()
    poll = await engine.poll(sid)
    assert await engine.ask("POST", "1", sid=sid) == (200, "ok")
    assert await poll == (200, "6")
    assert (await engine.ask(sid=sid))[0] == 400


async def test_a_websocket_closes(engine: Wire) -> None:
    ws = await engine.opened()
    await ws.send_str("1")
    assert not await closed(ws)


async def test_polling_becomes_a_websocket(engine: Wire) -> None:
    sid = await engine.session()
    ws = await engine.dial(sid)
    await ws.send_str("2probe")
    assert await hear(ws) == "3probe"
    assert await engine.ask(sid=sid) == (200, "6")
    await ws.send_str("5")
    await ws.send_str("4hello")
    assert await hear(ws) == "4hello"
    await ws.close()


async def test_an_open_poll_ends_when_the_websocket_has_been_tried(
    engine: Wire, echo_engine: Engine
) -> None:
    sid = await engine.session()
    poll = await engine.poll(sid)
    ws = await engine.dial(sid)
    await ws.send_str("2probe")
    assert await poll == (200, "6")
    await ws.close()
    assert await engine.ask("POST", "4still here", sid=sid) == (200, "ok")
    await until(lambda: echo_engine.sockets[sid].upgrading is None)  # that it failed is noticed
    assert await engine.ask(sid=sid) == (200, "4still here")


async def test_after_the_upgrade_http_is_refused(engine: Wire) -> None:
    sid, ws = await engine.upgraded()
    await ws.send_str("4hello")
    assert await hear(ws) == "4hello"
    assert (await engine.ask(sid=sid))[0] == 400
    assert (await engine.ask("POST", "4x", sid=sid))[0] == 400
    await ws.send_str("4hello")
    assert await hear(ws) == "4hello"
    await ws.close()


async def test_after_the_upgrade_another_websocket_is_closed(engine: Wire) -> None:
    sid, ws = await engine.upgraded()
    other = await engine.dial(sid)
    assert not await closed(other)
    await ws.send_str("4hello")
    assert await hear(ws) == "4hello"
    await ws.close()


async def test_what_is_sent_during_the_upgrade_arrives(host: Host) -> None:
    engine = Engine()
    wire = await host(engine)
    sid = await wire.session()
    ws = await wire.dial(sid)
    await ws.send_str("2probe")
    assert await hear(ws) == "3probe"
    await engine.send(sid, "between")
    await ws.send_str("5")
    assert await hear(ws) == "4between"
    await ws.close()


# ------------------------------------------------------------------- handlers


async def test_a_refused_client_leaves_nothing(host: Host) -> None:
    engine = Engine()
    gone: list[str] = []
    engine.on("connect", lambda sid, environ: False)
    engine.on("disconnect", lambda sid, reason: gone.append(sid))
    wire = await host(engine)
    assert (await wire.ask())[0] == 401
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await wire.dial()
    assert not engine.sockets
    assert not engine.watched
    assert not gone


async def test_handlers_of_a_client_run_in_order_and_fail_alone(host: Host) -> None:
    engine = Engine()
    seen: list[str] = []

    async def message(sid: str, data: str) -> None:
        await asyncio.sleep(0.02 if data == "slow" else 0)
        if data == "bad":
            raise TypeError("once")
        seen.append(data)

    engine.on("message", message)
    engine.on("disconnect", lambda sid, reason: seen.append(reason))
    wire = await host(engine)
    before = asyncio.all_tasks()
    ws = await wire.opened()
    for data in ("slow", "bad", "fast"):
        await ws.send_str("4" + data)
    await ws.send_str("1")
    await until(lambda: len(seen) == 3)
    assert seen == ["slow", "fast", "client disconnect"]
    await until(lambda: asyncio.all_tasks() <= before)

"""Socket.IO 5 as its protocol document has it, with an echo application on two namespaces."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import aiohttp
import pytest

from realtime.edge.transport import SocketServer
from tests.abuse.conftest import PING_S, PONG_S, Host, echo_server
from tests.abuse.wire import Wire, closed, hear, until


async def greeted(wire: Wire) -> aiohttp.ClientWebSocketResponse:
    ws = await wire.connected()
    assert await hear(ws) == '42["auth",{}]'
    return ws


def nothing_left(server: SocketServer) -> bool:
    """Every collection that begins empty is empty again, but for the count of ends."""
    begins, now = collections(echo_server()), collections(server)
    return not any(now[name] for name, value in begins.items() if not value)


def collections(server: SocketServer) -> dict[str, Any]:
    return {
        f"{place} {name}": value
        for place, part in enumerate((server, server.eio, server.manager))
        for name, value in vars(part).items()
        if isinstance(value, dict | list | set) and value is not server.eio.closed
    }


# --------------------------------------------------------------------- connect


@pytest.mark.parametrize("namespace", ["", "/custom,"])
@pytest.mark.parametrize("auth", ["", '{"token":"123"}'])
async def test_a_client_connects(sockets: Wire, namespace: str, auth: str) -> None:
    ws = await sockets.opened()
    await ws.send_str(f"40{namespace}{auth}")
    answer = await hear(ws)
    assert answer.startswith("40" + namespace)
    assert list(json.loads(answer.removeprefix("40" + namespace))) == ["sid"]
    assert await hear(ws) == f'42{namespace}["auth",{auth or "{}"}]'
    await ws.close()


async def test_an_unknown_namespace_is_refused(sockets: Wire) -> None:
    ws = await sockets.opened()
    await ws.send_str("40/random")
    assert await hear(ws) == '44/random,{"message":"Invalid namespace"}'
    await ws.close()


@pytest.mark.parametrize("packet", ["4abc", "42[]", '42["early"]', "41", '430["x"]', "40[]"])
async def test_something_else_than_connect_closes(sockets: Wire, packet: str) -> None:
    ws = await sockets.opened()
    await ws.send_str(packet)
    assert not await closed(ws)


async def test_who_never_connects_is_closed(host: Host) -> None:
    server = echo_server(ping_interval=25, connect_timeout_s=0.3)
    wire = await host(server)
    sid, ws = await wire.session(), await wire.opened()
    refused = await wire.opened()
    await refused.send_str("40/random")
    assert not await closed(ws, within=0.5)
    assert len(await closed(refused, within=0.5)) == 1
    assert (await wire.ask(sid=sid))[0] == 400
    await until(lambda: nothing_left(server))
    assert server.eio.closed == {"not connected in time": 3}


async def test_the_handshake_is_the_engines(sockets: Wire) -> None:
    for query in ({"EIO": ""}, {"EIO": "abc"}, {"transport": ""}, {"transport": "abc"}):
        assert (await sockets.ask(**query))[0] == 400
    for method in ("POST", "PUT"):
        assert (await sockets.ask(method))[0] == 400
    assert json.loads((await sockets.ask())[1][1:])["upgrades"] == ["websocket"]
    ws = await sockets.opened()
    assert await hear(ws) == "2"
    await ws.send_str("3")
    await ws.send_str("1")
    await closed(ws)
    sid = await sockets.session()
    assert await sockets.ask(sid=sid) == (200, "2")
    await asyncio.sleep(PONG_S + 0.5)
    assert (await sockets.ask(sid=sid))[0] == 400
    sid, ws = await sockets.upgraded()
    other = await sockets.dial(sid)
    await closed(other)
    await ws.close()


# ------------------------------------------------------------------ disconnect


async def test_leaving_the_main_namespace_keeps_the_transport(sockets: Wire) -> None:
    ws = await greeted(sockets)
    await ws.send_str("41")
    assert await hear(ws) == "2"
    await ws.close()


async def test_leaving_another_namespace_keeps_the_main_one(sockets: Wire) -> None:
    ws = await greeted(sockets)
    await ws.send_str("40/custom")
    assert (await hear(ws, pings=False)).startswith("40/custom,")
    assert await hear(ws, pings=False) == '42/custom,["auth",{}]'
    await ws.send_str("41/custom")
    await ws.send_str('42["message","message to main namespace"]')
    assert await hear(ws, pings=False) == '42["message-back","message to main namespace"]'
    await ws.close()


# -------------------------------------------------------------------- messages


async def test_events_and_acks(sockets: Wire) -> None:
    ws = await greeted(sockets)
    await ws.send_str('42["message",1,"2",{"3":[true]}]')
    assert await hear(ws) == '42["message-back",1,"2",{"3":[true]}]'
    await ws.send_str('42456["message-with-ack",1,"2",{"3":[false]}]')
    assert await hear(ws) == '43456[1,"2",{"3":[false]}]'
    await ws.close()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ('452-["message",{},{}]', '452-["message-back",{},{}]'),
        ('452-789["message-with-ack",{},{}]', "462-789[{},{}]"),
    ],
)
async def test_binary_attachments(sockets: Wire, sent: str, answer: str) -> None:
    ws = await greeted(sockets)
    places = [f'{{"_placeholder":true,"num":{number}}}' for number in (0, 1)]
    await ws.send_str(sent.replace("{}", "%s") % tuple(places))
    await ws.send_bytes(b"\x01\x02\x03")
    await ws.send_bytes(b"\x04\x05\x06")
    assert await hear(ws) == answer.replace("{}", "%s") % tuple(places)
    assert [await hear(ws), await hear(ws)] == [b"\x01\x02\x03", b"\x04\x05\x06"]
    await ws.close()


DEEP = '42["message",' + "[" * 128 + "]" * 128 + "]"
MALFORMED = [
    "4abc", "4", "49", "42", "42{}", "42[]", "42[1]", '42"x"', '42["x"', '42["x"]]',
    "42[NaN]", '42abc["message-with-ack"]', '42-1["message"]', '421.5["message"]',
    f'42{"9" * 17}["message"]', '42["connect",{},{}]', '42["disconnect"]', '42["*"]',
    '42["connect_error"]', '42["newListener"]', '42["disconnecting"]', '42["removeListener"]',
    '42/custom,["message"]', '42/none["message"]', "40", "40{}", "41{}", '44{"message":"x"}',
    "43[]", "430[]", "431[]", "4399{}", '4511-["message"]', '45["message"]',
    '45-1["message"]', '451-["disconnect"]', '450-["message",{"_placeholder":true,"num":0}]',
    DEEP, '42["message",' + "9" * 5000 + "]", '42["message","\\x"]',
]  # fmt: skip


@pytest.mark.parametrize("packet", MALFORMED)
async def test_a_malformed_packet_closes_at_once(
    host: Host, packet: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = echo_server(ping_interval=25)
    calls: list[Any] = []
    server.on("disconnect", lambda *args: calls.append(args))
    wire = await host(server)
    ws = await greeted(wire)
    await ws.send_str(packet)
    await until(lambda: not server.eio.sockets, within=1)
    assert not await closed(ws)
    await until(lambda: nothing_left(server))
    assert [reason for _, reason in calls] == ["parse error"]
    assert not [line for line in caplog.records if line.levelno > logging.INFO]


@pytest.mark.parametrize(
    "frames",
    [
        [b"\x01"],
        ['451-["message",{"_placeholder":true,"num":0}]', "42[1]"],
        ['451-["message",{"_placeholder":true,"num":1}]', b"\x01"],
        ['451-["message",{"_placeholder":true,"num":-1}]', b"\x01"],
        ['451-["message",{"_placeholder":true,"num":"0"}]', b"\x01"],
    ],
)
async def test_bad_attachments_close(host: Host, frames: list[str | bytes]) -> None:
    server = echo_server(ping_interval=25)
    wire = await host(server)
    ws = await greeted(wire)
    for item in frames:
        await (ws.send_str(item) if isinstance(item, str) else ws.send_bytes(item))
    assert not await closed(ws)
    await until(lambda: nothing_left(server))


async def test_depth_counts_brackets_outside_of_strings(sockets: Wire) -> None:
    ws = await greeted(sockets)
    text = "[{" * 140 + '\\"]'
    await ws.send_str(f'42["message","{text}"]')
    assert await hear(ws) == f'42["message-back","{text}"]'
    nested = "[" * 127 + "]" * 127
    await ws.send_str(f'42["message",{nested}]')
    assert await hear(ws) == f'42["message-back",{nested}]'
    await ws.close()


# -------------------------------------------------------------------- handlers


async def test_a_failing_handler_is_acked_once_and_logged_once(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    server = echo_server(ping_interval=25)
    calls: list[Any] = []

    async def fail(*args: Any) -> None:
        calls.append(args)
        raise TypeError("a secret of the handler")

    server.on("fail", fail)
    server.on("disconnect", fail)
    ws = await greeted(await host(server))
    await ws.send_str('421["fail",{"token":"a secret of the client"}]')
    answer = json.loads((await hear(ws)).removeprefix("431"))[0]
    assert (answer["ok"], answer["error"]["code"]) == (False, "internal")
    assert "secret" not in answer["error"]["message"]
    await ws.send_str('422["unheard of"]')
    assert json.loads((await hear(ws)).removeprefix("432"))[0]["error"]["code"] == "bad_request"
    await ws.close()
    await until(lambda: len(calls) == 2)
    await until(lambda: nothing_left(server))
    assert [args[1:] for args in calls] == [
        ({"token": "a secret of the client"},),
        ("transport close",),
    ]
    errors = [line for line in caplog.records if line.levelno >= logging.ERROR]
    assert len(errors) == 2
    assert "secret of the client" not in caplog.text


async def test_a_refused_connect_leaves_nothing(host: Host) -> None:
    server = SocketServer(connect_timeout_s=0.3)
    server.on("connect", lambda sid, environ, auth: auth != {"no": 1})
    wire = await host(server)
    ws = await wire.opened()
    await ws.send_str('40{"no":1}')
    assert (await hear(ws)).startswith('44{"message":')
    await ws.send_str("40")
    assert (await hear(ws)).startswith("40")
    await ws.close()
    await until(lambda: nothing_left(server))


async def test_calls_and_rooms(host: Host) -> None:
    server = echo_server(ping_interval=25, connect_timeout_s=0.3)
    came: list[str] = []
    server.on("connect", lambda sid, environ: came.append(sid))
    wire = await host(server)
    one, two = await wire.connected(), await wire.connected()
    for sid in came:
        await server.enter_room(sid, "r")
    await server.emit("news", {"n": 1}, room="r", skip_sid=came[0])
    assert await hear(two) == '42["news",{"n":1}]'
    answer = asyncio.create_task(server.call("question", 7, to=came[0]))
    assert await hear(one) == '421["question",7]'
    await one.send_str('431["answer"]')
    assert await answer == "answer"
    await server.disconnect(came[0])
    assert await hear(one) == "41"
    assert not await closed(one)
    await two.close()
    await until(lambda: nothing_left(server))


async def test_a_slow_disconnect_handler_holds_up_no_emit(host: Host) -> None:
    server = echo_server(ping_interval=25)
    released = asyncio.Event()

    async def slow(sid: str, reason: str) -> None:
        await released.wait()

    server.on("disconnect", slow)
    wire = await host(server)
    gone, here = await greeted(wire), await greeted(wire)
    await gone.close()
    async with asyncio.timeout(10):
        await server.emit("news", 1)
        assert await hear(here) == '42["news",1]'
    released.set()
    await here.close()
    await until(lambda: nothing_left(server))


async def test_silence_after_a_ping_ends_it(sockets: Wire) -> None:
    ws = await greeted(sockets)
    assert await closed(ws, within=PING_S + PONG_S + 3) == ["2"]

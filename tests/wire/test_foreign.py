"""What is another's answers like nothing at all; a bad guest token is a new guest."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt

from realtime.app import create_app
from realtime.auth.guests import Guests
from realtime.config import Settings
from realtime.models import Finished, ModelError, TextDelta, ToolCallReady, ToolCallStarted
from realtime.protocol import COMMANDS
from tests.support.attach import ask
from tests.support.fetch import fetch
from tests.support.scripted import Script, ScriptedModel
from tests.support.serving import Serve
from tests.wire.issuer import SECRET
from tests.wire.people import HOOK, MISSING, Devices, payloads

GUEST_SECRET = "a-secret-for-tests-of-32-characters"


async def test_a_bad_guest_token_is_a_new_guest_and_401_over_http(
    serve: Serve, device: Devices
) -> None:
    running = await serve()
    one = device(running.url)
    me = (await one.connect())["user_id"]
    token = one.auth["token"]
    old = jwt.encode({"sub": me, "aud": "guest", "exp": int(time.time()) - 60}, GUEST_SECRET)
    share = (await one.call("share"))["share"]
    for bad in (old, token[:-4], "x", share, Guests(SECRET).new()[1]):
        session = await device(running.url, token=bad).connect()
        assert session["user_id"].startswith("guest-")
        assert session["user_id"] != me
        assert (await fetch(f"{running.url}/api/sessions", bad)).status == 401
    for header in ("", "Bearer", "Bearer ", f"Basic {token}", "Bearer \udcff\udcfe"):
        assert (await fetch(f"{running.url}/api/sessions", Authorization=header)).status == 401
    lower = await fetch(f"{running.url}/api/sessions", Authorization=f"bearer {token}")
    assert lower.status == 200
    assert (await device(running.url, token=token).connect())["user_id"] == me
    assert (await one.call("auth", {"token": token}))["ok"]


async def test_a_secret_is_replaced_and_nobody_loses_their_sessions(
    serve: Serve, device: Devices
) -> None:
    before, after = GUEST_SECRET, "another-secret-of-32-characters-or-more"
    running = await serve(auth_secret=before)
    one = device(running.url)
    me = (await one.connect())["user_id"]
    session_id, old = one.session["session_id"], one.auth["token"]
    share = (await one.call("share"))["share"]
    await running.stop()

    running = await serve(auth_secret=after, auth_secret_previous=before)
    assert (await fetch(f"{running.url}/api/sessions", old)).status == 200
    guest = device(running.url, session_id=session_id, share=share)
    assert (await guest.connect())["access"] == "full"
    two = device(running.url, token=old, session_id=session_id)
    assert (await two.connect())["user_id"] == me
    new = two.auth["token"]
    assert new != old
    again = device(running.url, token=new)
    await again.connect()
    assert again.auth["token"] == new
    share = (await two.call("share"))["share"]
    await running.stop()

    running = await serve(auth_secret=after)
    assert (await fetch(f"{running.url}/api/sessions", old)).status == 401
    assert (await device(running.url, token=new, session_id=session_id).connect())["you"] == me
    guest = device(running.url, session_id=session_id, share=share)
    assert (await guest.connect())["access"] == "full"


NAMING = [command for command in COMMANDS if command not in ("create", "auth")]


async def test_a_session_of_another_answers_like_none(serve: Serve, device: Devices) -> None:
    running = await serve(**HOOK)
    users = {name: device(running.url, token=name) for name in ("ada", "bob")}
    ids = {name: (await one.connect())["session_id"] for name, one in users.items()}
    for name, one in users.items():
        foreign = next(ids[other] for other in ids if other != name)
        malformed = [
            "",
            "x",
            "../..",
            "\0",
            "%00",
            foreign.upper(),
            f" {foreign}",
            "ü" * 3000,
            "'--",
        ]
        for command in NAMING:
            expected = await one.call(command, payloads(command, MISSING))
            assert expected["error"]["code"] == "not_found", command
            for session_id in (foreign, *malformed):
                assert await one.call(command, payloads(command, session_id)) == expected, command
            for wrong in (7, [foreign], {"id": foreign}, True):
                ack = await one.call(command, payloads(command, wrong))
                assert ack["error"]["code"] == "bad_request", command
        pages = [await ask("GET", f"{running.url}/c/{one}", name) for one in (MISSING, foreign)]
        assert pages[0].body == pages[1].body, "the page knows of no session"
        for method, route in routes_of_a_session():
            for query in ("", "?before_seq=1"):

                async def answer(session_id: str, method: str, path: str) -> tuple[int, bytes]:
                    path = path.format(session_id=session_id, output_ref=MISSING, file_id=MISSING)
                    got = await ask(method, running.url + path, name, b"a file")  # noqa: B023
                    return got.status, got.body

                status, expected_http = await answer(MISSING, method, route + query)
                assert status == 404
                for session_id in (foreign, "x", foreign.upper()):
                    got = await answer(session_id, method, route + query)
                    assert got == (404, expected_http), (method, route)
        refused = [
            await device(running.url, token=name, session_id=session_id).connect()
            for session_id in (MISSING, foreign, foreign.upper())
        ]
        assert [answer["error"] for answer in refused] == [refused[0]["error"]] * 3
    for name, one in users.items():
        assert [event["user_id"] for event in one.events("session_started")] == [name]
        assert sorted(one.log) == [1], "nothing has happened to it"
        for command in [*set(NAMING) - {"delete"}, "delete"]:
            ack = await one.call(command, payloads(command, ids[name]))
            assert ack.get("error", {}).get("message") != expected["error"]["message"], command
            if command == "leave":
                await one.call("join", {"session_id": ids[name]})


ASKED: Script = [
    [TextDelta("so "), ToolCallStarted("1", "no_such_tool")],
    [ToolCallReady("1", "no_such_tool", "{}"), Finished("tool_calls")],
]


async def test_an_id_of_another_answers_like_none_in_a_session_of_ones_own(
    serve: Serve, device: Devices
) -> None:
    """A run that is active, one that waits and one that can go on, a tool call, messages."""
    gate = asyncio.Event()
    model = ScriptedModel(ASKED, [[TextDelta("then")], ModelError("cut", "cut")], [gate])
    running = await serve(model, **HOOK)
    ada, bob = device(running.url, token="ada"), device(running.url, token="bob")
    await ada.connect()
    mine = (await bob.connect())["session_id"]
    broken = await ada.send("one")
    assert (await ada.done(broken["run_id"]))["status"] == "interrupted"
    active, queued = await ada.send("two"), await ada.send("three")
    call = (await ada.durable("tool_call"))[0]
    ids = {
        value
        for ack in (broken, active, queued, call)
        for key, value in ack.items()
        if key in ("run_id", "message_id", "tool_call_id", "client_msg_id")
    } | {ada.session["session_id"]}
    assert len(ids) >= 8
    before = dict(ada.log)
    for command in COMMANDS:
        for field in payloads(command, mine).keys() & {"run_id", "tool_call_id"} or (
            {"run_id"} if command == "stop" else set()
        ):
            expected = await bob.call(command, {**payloads(command, mine), field: MISSING})
            for id in ids:
                ack = await bob.call(command, {**payloads(command, mine), field: id})
                assert told(ack) == told(expected), (command, field)
    share = (await ada.call("share"))["share"]
    for command in ("history", "send", "stop"):
        ack = await bob.call(command, payloads(command, ada.session["session_id"]))
        assert ack["error"]["code"] == "not_found", "a share that was not used lets nobody in"
    assert (await bob.call("join", {"session_id": mine, "share": share}))["ok"]
    assert ada.log == before, "nothing has happened to it"
    assert sorted(bob.log) == [1]
    gate.set()


def told(ack: dict[str, Any]) -> dict[str, Any]:
    """Without the id that was asked for, and the time that it took."""
    return {key: value for key, value in ack.items() if key not in ("run_id", "ms")}


def routes_of_a_session() -> list[tuple[str, str]]:
    """Method and path of each."""
    app = create_app(Settings())
    found = {
        (route.method, route.resource.canonical) for route in app.router.routes() if route.resource
    }
    routes = [
        (method, path) for method, path in found if "/{session_id}" in path and "/api/" in path
    ]
    assert {method for method, _ in routes} == {"GET", "HEAD", "POST", "PATCH", "DELETE"}
    return [(method, path) for method, path in routes if method != "HEAD"]

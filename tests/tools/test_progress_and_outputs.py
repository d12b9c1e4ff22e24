"""What a tool shows while it works, and outputs that are too long for the log."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import aiohttp
import pytest

from realtime.log.journal import outputs
from realtime.tools import ToolContext, tool
from realtime.tools.progress import MAX_MESSAGE
from tests.support.device import Device
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Running, Serve

MakeDevice = Callable[..., Device]
LINES = ["a line, é"] * 20_000


@tool
async def by_and_by(context: ToolContext) -> str:
    for step in range(10):
        context.progress(step / 10, f"step {step}")
        await asyncio.sleep(0.03)
    context.progress(7.5, "x" * 1000 + "\ud800")
    return "ready"


@tool
def in_a_thread(context: ToolContext) -> str:
    context.progress(message="working")
    time.sleep(0.25)
    context.progress(float("nan"), "nearly")
    return "ready"


@tool
def lines() -> list[str]:
    return LINES


@tool
def prose() -> str:
    return "ä" * 100_000


@tool
def much() -> str:
    return "x" * 60_000


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("long_tools")
    for function in (by_and_by, in_a_thread, lines, prose, much):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "long_tools", module)


async def called(serve: Serve, device: MakeDevice, *names: str) -> tuple[Running, Device]:
    model = ScriptedModel(asks(*((name, "{}") for name in names)), says("done"))
    running = await serve(model, tools=("long_tools",))
    one = device(running.url)
    await one.connect()
    assert (await one.done((await one.send("go"))["run_id"]))["status"] == "completed"
    return running, one


def reports(one: Device) -> list[dict[str, Any]]:
    return [payload for name, payload in one.record if name == "progress"]


async def test_progress_is_throttled_and_its_last_word_comes(
    serve: Serve, device: MakeDevice
) -> None:
    _, one = await called(serve, device, "by_and_by")
    told = reports(one)
    call = one.events("tool_call")[-1]
    assert told[0] == {
        "session_id": call["session_id"],
        "tool_call_id": call["tool_call_id"],
        "fraction": 0,
        "message": "step 0",
    }
    assert told[-1]["fraction"] == 1
    assert told[-1]["message"] == "x" * MAX_MESSAGE
    assert len(told) < 10, "not each of them"
    names = [name for name, _ in one.record]
    last = len(names) - 1 - names[::-1].index("progress")
    ends = next(
        place
        for place, (name, payload) in enumerate(one.record)
        if name == "tool_call" and payload["status"] == "completed"
    )
    assert last < ends


async def test_progress_from_a_thread(serve: Serve, device: MakeDevice) -> None:
    _, one = await called(serve, device, "in_a_thread")
    shown = [{k: v for k, v in told.items() if not k.endswith("_id")} for told in reports(one)]
    assert shown == [{"message": "working"}, {"message": "nearly"}]


async def fetch(
    running: Running, session_id: str, ref: str, *, token: str | None, share: str | None = None
) -> tuple[aiohttp.ClientResponse, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if share:
        headers["Share"] = share
    url = f"{running.url}/api/sessions/{session_id}/outputs/{ref}"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        return response, await response.read()


async def test_a_long_output_is_fetched_by_those_who_may_read_it(
    serve: Serve, device: MakeDevice
) -> None:
    running, one = await called(serve, device, "lines", "prose")
    ended = {call["name"]: call for call in one.events("tool_call", status="completed")}
    as_json, as_text = ended["lines"], ended["prose"]
    session_id, token = one.session["session_id"], one.auth["token"]
    assert isinstance(as_json["output"], str)
    assert "cut" in as_json["output"]

    response, body = await fetch(running, session_id, as_json["output_ref"], token=token)
    assert (response.status, response.content_type) == (200, "application/json")
    assert await response.json() == LINES
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Disposition"].startswith("attachment")
    response, body = await fetch(running, session_id, as_text["output_ref"], token=token)
    assert (response.content_type, body.decode()) == ("text/plain", "ä" * 100_000)

    stranger = device(running.url)
    theirs = (await stranger.connect())["session_id"]
    other = stranger.auth["token"]
    ref = as_json["output_ref"]
    refused = [
        await fetch(running, session_id, ref, token=other),
        await fetch(running, "none", ref, token=other),
    ]
    assert {response.status for response, _ in refused} == {404}
    assert refused[0][1] == refused[1][1], "a foreign session is like none"
    assert (await fetch(running, theirs, ref, token=other))[0].status == 404
    assert (await fetch(running, session_id, "none", token=token))[0].status == 404
    assert (await fetch(running, session_id, ref, token=None))[0].status == 401

    share = (await one.call("share", {"access": "read"}))["share"]
    response, body = await fetch(running, session_id, ref, token=other, share=share)
    assert response.status == 200
    assert (await fetch(running, theirs, ref, token=other, share=share))[0].status == 404
    await one.call("unshare")
    assert (await fetch(running, session_id, ref, token=other, share=share))[0].status == 404

    await running.server.log.keeper.delete([session_id])
    assert await running.server.log.keeper.output(session_id, ref) is None


async def test_a_session_keeps_its_newest_outputs(
    serve: Serve, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "MAX_OUTPUTS", 300_000)  # one of each fits
    running, one = await called(serve, device, "lines")
    log = running.server.log
    session_id = one.session["session_id"]
    for number in range(3):
        await log.keeper.add_output(session_id, f"ref {number}", "text", b"x" * 140_000)
    kept = [await log.keeper.output(session_id, f"ref {number}") is not None for number in range(3)]
    assert kept == [False, True, True]
    await log.keeper.add_output("a session that was deleted", "lost", "text", b"x")
    assert await log.keeper.output("a session that was deleted", "lost") is None


async def test_many_large_outputs_of_one_step_come_in_pages_that_a_device_can_take(
    serve: Serve, device: MakeDevice
) -> None:
    model = ScriptedModel(asks(*[("much", "{}")] * 16), says("done"))
    running = await serve(model, tools=("long_tools",))
    one = device(running.url)
    session = await one.connect()
    await one.send("go")
    await one.drop()
    async with asyncio.timeout(10):
        while len(model.requests) < 2:
            await asyncio.sleep(0.01)
    late = device(running.url, token=one.auth["token"], session_id=session["session_id"])
    page = await late.connect()
    calls: dict[str, dict[str, Any]] = {}
    while True:
        assert len(json.dumps(page["events"])) < 128 * 1024
        for event in page["events"]:
            if event["event"] == "tool_call":
                calls.setdefault(event["tool_call_id"], event)
        if not (before := page.get("next_before_seq")):
            break
        page = await late.call("history", {"before_seq": before})
    assert [call["status"] for call in calls.values()] == ["completed"] * 16
    assert {call["output"] for call in calls.values()} == {"x" * 60_000}

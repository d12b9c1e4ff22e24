"""Leaving is not stopping; what a crash hid of a tool is never silently repeated."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from realtime.background.retention import delete_ended
from realtime.core.session import Session
from realtime.models import Finished, TextDelta, ToolCallReady, ToolRequest, ToolResult
from realtime.protocol import Send, Token
from realtime.tools import ToolContext, tool
from tests.support.device import Device
from tests.support.scripted import Script, ScriptedModel, says
from tests.support.serving import Running, Serve

Devices = Callable[..., Device]


def endless() -> Script:
    return [[TextDelta("on and ")], asyncio.Event()]


async def closed(model: ScriptedModel) -> None:
    """The request that streamed was closed."""
    async with asyncio.timeout(10):
        while not model.closed:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("wish", ["cancel", {"cancel_after_s": 0.1}])
async def test_an_abandoned_run_is_cancelled_as_asked(
    serve: Serve, device: Devices, wish: object
) -> None:
    model = ScriptedModel(endless())
    one = device((await serve(model)).url)
    await one.connect()
    ack = await one.send("go", on_abandon=wish)
    await one.wait("token")
    await one.drop()
    await closed(model)
    await one.connect()
    assert (await one.done(ack["run_id"]))["status"] == "cancelled"


async def test_an_abandoned_run_goes_on_within_the_limit(serve: Serve, device: Devices) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([[TextDelta("one ")], gate, [TextDelta("two"), Finished("stop")]])
    one = device((await serve(model)).url)
    await one.connect()
    ack = await one.send("go")
    await one.wait("token")
    await one.drop()
    gate.set()
    await one.connect()
    done = await one.done(ack["run_id"])
    assert (done["status"], done["text"]) == ("completed", "one two")


async def test_an_abandoned_run_is_cancelled_at_the_limit(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(endless())
    limited = device((await serve(model, abandon_seconds=0.1)).url)
    await limited.connect()
    ack = await limited.send("go")
    await limited.wait("token")
    await limited.drop()
    await closed(model)
    await limited.connect()
    assert (await limited.done(ack["run_id"]))["status"] == "cancelled"


class Effects:
    """A tool with an effect that counts, and hangs the first time."""

    def __init__(self, *, repeatable: bool) -> None:
        self.made: list[str] = []
        self.begun = asyncio.Event()

        async def charge(context: ToolContext) -> str:
            self.made.append(context.tool_call_id)
            if len(self.made) == 1:
                self.begun.set()
                await asyncio.Event().wait()
            return "charged"

        self.module = ModuleType("charging")
        self.module.charge = tool(repeatable=repeatable)(charge)  # type: ignore[attr-defined]


async def crash(running: Running) -> None:
    """Lose everything in memory, as the death of the process does."""
    await running.server.hub.close()


@pytest.mark.parametrize("repeatable", [False, True])
async def test_a_tool_whose_outcome_a_crash_hid(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch, repeatable: bool
) -> None:
    asks = [[TextDelta("I charge."), ToolCallReady("k", "charge", "{}"), Finished("tool_calls")]]
    model = ScriptedModel(asks, says("It is done."))
    effects = Effects(repeatable=repeatable)
    monkeypatch.setitem(sys.modules, "charging", effects.module)
    running = await serve(model, tools=("charging",))
    one = device(running.url)
    await one.connect()
    ack = await one.send("charge me")
    await asyncio.wait_for(effects.begun.wait(), 20)
    await one.wait("tool_call", status="running")
    await crash(running)
    await running.server.hub.start()
    await one.drop()
    await one.connect()
    done = await one.done(ack["run_id"])
    last = one.events("tool_call", run_id=ack["run_id"])[-1]
    if repeatable:
        assert effects.made == [last["tool_call_id"]] * 2, "the same idempotency key"
        assert (last["status"], done["status"]) == ("completed", "completed")
        assert one.events("run", status="resumed")
        assert model.requests[-1].context[-2:] == (
            ToolRequest(last["tool_call_id"], "charge", "{}"),
            ToolResult(last["tool_call_id"], "charged"),
        )
    else:
        assert len(effects.made) == 1
        assert (last["status"], last["error"]["code"]) == ("failed", "unknown_outcome")
        assert done["status"] == "interrupted"
        assert len(model.requests) == 1
    assert len(one.events("done")) == 1


async def test_what_waited_goes_on_after_a_crash(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(endless(), says("second"), says("third"))
    running = await serve(model)
    one = device(running.url)
    await one.connect()
    first, second, third = [await one.send(text) for text in ("1", "2", "3")]
    await one.wait("token")
    await crash(running)
    await running.server.hub.start()
    await one.drop()
    await one.connect()
    assert (await one.done(first["run_id"]))["status"] == "interrupted"
    assert (await one.done(second["run_id"]))["text"] == "second"
    assert (await one.done(third["run_id"]))["text"] == "third"


async def test_the_time_that_a_server_was_down_is_not_counted() -> None:
    session = Session("s")
    session.begin("u", 1_000)
    _, run = session.send(Send(text="q", client_msg_id="1"), "u", "m", 2_000)
    token = Token(message_id=run.answer.message_id, offset=0, delta="half", kind="text")
    session.record(run.run_id, [token], 5_000)
    session.finish(run.run_id, "interrupted", "error", 90_000_000, ended_at=session.last_ts)
    session.end(0, 90_000_000)
    assert run.done
    assert (run.done.status, run.done.duration_ms, run.done.text) == ("interrupted", 3_000, "half")
    assert session.row().end_time == 5_000
    assert session.row().duration_seconds == 4


async def test_what_ended_long_ago_is_deleted(serve: Serve, device: Devices) -> None:
    running = await serve(ScriptedModel(says("ok")))
    old, watched = device(running.url), device(running.url)
    for one in (old, watched):
        await one.connect()
        await one.done((await one.send("hi"))["run_id"])
        await one.call("end")
        await one.durable("summary", status="done")
    await old.drop()
    async with asyncio.timeout(20):
        while running.server.hub.sessions > 1:
            await asyncio.sleep(0.01)
    assert await delete_ended(running.server.hub, 0) == 0
    assert await delete_ended(running.server.hub, 2**53) == 1
    assert (await old.connect())["error"]["code"] == "not_found"
    await watched.done((await watched.send("still here"))["run_id"])

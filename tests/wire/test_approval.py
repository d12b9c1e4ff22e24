"""Tool calls that wait for a person: two devices, reload, restart, kill -9, expiry, strangers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from realtime.config import ConfigError, Settings
from realtime.models import Finished, TextDelta, ToolCallReady, ToolRequest, ToolResult
from realtime.protocol import ToolCall, to_json
from realtime.runs.calls import arguments_hash
from realtime.tools import FunctionTool, tool
from tests.support.device import Device
from tests.support.scripted import Script, ScriptedModel, asks, says
from tests.support.serving import Running, Serve
from tests.support.world import world

MakeDevice = Callable[..., Device]


PAY = asks(("pay", '{"to": "Ann", "amount": 5}'))


@pytest.fixture
def paid(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The effects of the tool `pay`, which needs approval; `pay_much` only from 100 on."""
    effects: list[tuple[str, int]] = []

    def much(amount: int, **others: Any) -> bool:
        if amount < 0:
            raise ValueError(amount)
        return amount >= 100

    @tool(approval=True)
    def pay(to: str, amount: int) -> str:
        """Pay somebody."""
        effects.append((to, amount))
        return "paid"

    @tool(approval=much)
    def pay_much(to: str, amount: int) -> str:
        """Pay somebody."""
        effects.append((to, amount))
        return "paid"

    module = ModuleType("money")
    module.pay, module.pay_much = pay, pay_much  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "money", module)
    return effects


async def waiting(one: Device) -> dict[str, Any]:
    """The first call that waits for approval."""
    return (await one.durable("tool_call", status="awaiting_approval"))[0]


async def opened(
    serve: Serve, device: MakeDevice, *scripts: Script, **settings: Any
) -> tuple[Running, ScriptedModel, Device, str, dict[str, Any]]:
    """A server, a device, and a run that waits with one call."""
    model = ScriptedModel(*(scripts or (PAY, says("paid"))))
    running = await serve(model, tools=("money",), **settings)
    one = device(running.url)
    await one.connect()
    run_id = (await one.send("pay Ann"))["run_id"]
    return running, model, one, run_id, await waiting(one)


async def test_it_waits_and_then_runs_once(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    _, model, one, run_id, call = await opened(serve, device)
    assert call["arguments"] == {"to": "Ann", "amount": 5}
    assert call["approval"]["expires_at"] > call["ts"]
    (run,) = await one.durable("run", status="awaiting_approval")
    assert run["run_id"] == run_id
    assert paid == []
    assert model.closed == 0
    assert len(model.requests) == 1, "the model is not asked meanwhile"

    answer = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
    assert await one.call("approve", answer) == {"ok": True, "status": "resolved"}
    done = await one.done(run_id)
    assert (done["status"], done["text"], paid) == ("completed", "paid", [("Ann", 5)])
    states = [event["status"] for event in one.events("tool_call")]
    assert states == ["ready", "awaiting_approval", "running", "completed"]
    assert [run["status"] for run in one.events("run")] == [
        "started",
        "awaiting_approval",
        "resumed",
    ]
    closed = one.events("tool_call")[-1]
    assert closed["approval"]["decision"] == "approve"
    assert closed["approval"]["decided_by"] == one.session["user_id"]

    again = await one.call("approve", {**answer, "decision": "deny"})
    assert again["error"]["code"] == "already_resolved"
    assert again["error"]["decision"] == "approve"
    assert again["error"]["decided_by"] == one.session["user_id"]
    assert paid == [("Ann", 5)], "single use"


async def test_of_two_devices_the_first_wins_and_both_see_it(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    running = await serve(ScriptedModel(PAY, says("paid")), tools=("money",))
    one = device(running.url)
    await one.connect()
    share = (await one.call("share"))["share"]
    other = device(running.url, session_id=one.session["session_id"], share=share)
    await other.connect()
    run_id = (await other.send("pay Ann"))["run_id"]
    call = await waiting(other)
    payload = await other.call("join", {"session_id": one.session["session_id"]})
    (pending,) = payload["pending_approvals"]
    assert pending == {"event": "tool_call", **call}
    assert payload["active_run"]["status"] == "awaiting_approval"
    answers = await asyncio.gather(
        one.call("approve", {"tool_call_id": call["tool_call_id"], "decision": "approve"}),
        other.call(
            "approve",
            {"tool_call_id": call["tool_call_id"], "decision": "deny", "reason": "too much"},
        ),
    )
    assert sorted(answer["ok"] for answer in answers) == [False, True]
    lost = next(answer for answer in answers if not answer["ok"])["error"]
    assert lost["code"] == "already_resolved"
    winner = one if answers[0]["ok"] else other
    for each in (one, other):
        done = await each.done(run_id)
        assert done["status"] == "completed"
        decided = each.events("tool_call")[-1]["approval"]
        assert decided["decided_by"] == lost["decided_by"] == winner.session["you"]
        assert decided["decision"] == lost["decision"]
    assert len(paid) == answers[0]["ok"]


async def test_the_model_is_told_why_it_was_denied(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    _, model, one, run_id, call = await opened(serve, device)
    answer = {"tool_call_id": call["tool_call_id"], "decision": "deny", "reason": "not Ann"}
    assert (await one.call("approve", answer))["ok"]
    assert (await one.done(run_id))["status"] == "completed", "the model goes on"
    result = model.requests[1].context[-1]
    assert isinstance(result, ToolResult)
    assert "not Ann" in result.output
    denied = one.events("tool_call")[-1]
    assert (denied["status"], denied["approval"]["reason"]) == ("denied", "not Ann")
    assert paid == []


async def test_it_expires_where_everyone_sees_it(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    _, model, one, run_id, call = await opened(serve, device, approval_seconds=0.2)
    assert (await one.done(run_id))["status"] == "completed"
    assert one.events("tool_call")[-1]["status"] == "expired"
    assert "in time" in model.requests[1].context[-1].output  # type: ignore[union-attr]
    late = await one.call("approve", {"tool_call_id": call["tool_call_id"], "decision": "approve"})
    assert late["error"]["code"] == "expired"
    assert paid == []


async def test_who_may_not_decide(serve: Serve, device: MakeDevice, paid: list[Any]) -> None:
    running, _, one, _, call = await opened(serve, device)
    session_id = one.session["session_id"]
    answer = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
    stranger = device(running.url)
    await stranger.connect()
    foreign = await stranger.call("approve", {**answer, "session_id": session_id})
    missing = await stranger.call("approve", {**answer, "session_id": "none"})
    assert foreign == missing
    assert foreign["error"]["code"] == "not_found"
    elsewhere = await stranger.call("approve", answer)  # in a session of their own
    unknown = await stranger.call("approve", {**answer, "tool_call_id": "none"})
    assert elsewhere == unknown
    assert elsewhere["error"]["code"] == "not_found"

    share = (await one.call("share", {"access": "read"}))["share"]
    reader = device(running.url, session_id=session_id, share=share)
    await reader.connect()
    assert (await reader.call("approve", answer))["error"]["code"] == "forbidden"
    for bad in ({**answer, "decision": "maybe"}, {**answer, "reason": "x" * 501}):
        assert (await one.call("approve", bad))["error"]["code"] == "bad_request"
    assert paid == []


async def test_whoever_approves_may_change_the_arguments(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    _, model, one, run_id, call = await opened(serve, device)
    assert call["approval"]["editable"] is True
    session_id = one.session["session_id"]
    share = (await one.call("share"))["share"]
    guest = device(one.url, session_id=session_id, share=share)
    await guest.connect()
    edited = {"to": "Ann", "amount": 3}
    answer = {"tool_call_id": call["tool_call_id"], "decision": "approve", "arguments": edited}
    assert (await guest.call("approve", answer))["error"]["code"] == "forbidden"
    for arguments, code, words in (
        ({"to": "Ann"}, "bad_request", "amount"),
        ({**edited, "more": 1}, "bad_request", "more"),
        ([1], "bad_request", "object"),
        ({"to": "Ann", "amount": 10**100}, "bad_request", "100 digits"),
        ({"to": "x" * 25_000, "amount": 3}, "too_large", "24576"),
    ):
        refused = await one.call("approve", {**answer, "arguments": arguments})
        assert refused["error"]["code"] == code
        assert words in refused["error"]["message"]
    denied = await one.call("approve", {**answer, "decision": "deny"})
    assert denied["error"]["code"] == "bad_request"
    assert [event["status"] for event in one.events("tool_call")] == ["ready", "awaiting_approval"]

    assert await one.call("approve", answer) == {"ok": True, "status": "resolved"}
    assert (await one.done(run_id))["status"] == "completed"
    assert paid == [("Ann", 3)]
    closed = one.events("tool_call")[-1]
    assert closed["arguments"] == edited
    assert closed["approval"]["asked_arguments"] == {"to": "Ann", "amount": 5}
    assert closed["approval"]["edited_by"] == one.session["you"]
    assert closed["approval"]["arguments_hash"] != call["approval"]["arguments_hash"]
    request = model.requests[1].context[-2]
    assert isinstance(request, ToolRequest)
    assert msgspec.json.decode(request.arguments) == edited


async def test_an_edited_call_is_never_larger_than_an_event(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    long = asks(("pay", msgspec.json.encode({"to": "é" * 8_000, "amount": 5}).decode()))
    _, _, one, run_id, call = await opened(serve, device, long, says("paid"))
    edited = {"to": "ü" * 8_000, "amount": 3}
    answer = {"tool_call_id": call["tool_call_id"], "decision": "approve", "arguments": edited}
    assert (await one.call("approve", answer))["ok"]
    await one.done(run_id)
    closed = one.events("tool_call")[-1]
    assert (closed["status"], closed["arguments"]) == ("completed", edited)
    assert closed["approval"]["asked_arguments"].endswith("éé…")
    assert len(to_json([closed["arguments"], closed["approval"]["asked_arguments"]])) < 25_000


async def test_a_tool_may_forbid_other_arguments(
    serve: Serve, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    @tool(approval=True, editable=False)
    def pay(to: str, amount: int) -> str:
        """Pay somebody."""
        made.append(amount)
        return "paid"

    module = ModuleType("money")
    module.pay = pay  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "money", module)
    _, _, one, run_id, call = await opened(serve, device)
    assert "editable" not in call["approval"]
    answer = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
    refused = await one.call("approve", {**answer, "arguments": {"to": "Ann", "amount": 1}})
    assert refused["error"]["code"] == "bad_request"
    same = {**answer, "arguments": {"to": "Ann", "amount": 5}}
    assert (await one.call("approve", same))["ok"], "nothing was changed"
    assert (await one.done(run_id))["status"] == "completed"
    assert made == [5]


async def test_what_was_left_out_is_shown_with_what_it_will_be(
    serve: Serve, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str, int]] = []

    @tool(approval=True)
    def pay(to: str, amount: int = 5, currency: str = "EUR") -> str:
        """Pay somebody."""
        made.append((to, currency, amount))
        return "paid"

    module = ModuleType("money")
    module.pay = pay  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "money", module)
    _, _, one, run_id, call = await opened(
        serve, device, asks(("pay", '{"to": "Ann", "amount": 7}')), says("paid")
    )
    assert call["arguments"] == {"to": "Ann", "amount": 7}
    assert call["approval"]["defaults"] == {"currency": "EUR"}
    answer = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
    assert (await one.call("approve", answer))["ok"]
    await one.done(run_id)
    assert made == [("Ann", "EUR", 7)]


@pytest.mark.parametrize("command", ["stop", "end"])
async def test_stop_and_end_take_the_question_back(
    serve: Serve, device: MakeDevice, paid: list[Any], command: str
) -> None:
    _, _, one, run_id, call = await opened(serve, device)
    assert (await one.call(command))["ok"]
    assert (await one.done(run_id))["status"] == "cancelled"
    assert one.events("tool_call")[-1]["status"] == "cancelled"
    late = await one.call("approve", {"tool_call_id": call["tool_call_id"], "decision": "approve"})
    assert late["error"]["code"] == "already_done"
    assert (paid, one.events("session_ended") != []) == ([], command == "end")


async def test_the_other_calls_of_the_step_do_not_wait(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    calls = (
        ("pay_much", '{"to": "Ann", "amount": 100}'),
        ("pay_much", '{"to": "Bob", "amount": 5}'),
        ("pay_much", '{"to": "Cat", "amount": -1}'),
        ("pay_much", '{"to": "Dan"}'),
    )
    _, model, one, run_id, _ = await opened(serve, device, asks(*calls), says("paid"))
    await one.durable("tool_call", status="completed")
    assert paid == [("Bob", 5)]
    held = await one.durable("tool_call", 2, status="awaiting_approval")
    assert [call["arguments"]["to"] for call in held] == ["Ann", "Cat"], "a rule that fails asks"
    for call in held:
        await one.call("approve", {"tool_call_id": call["tool_call_id"], "decision": "approve"})
    assert (await one.done(run_id))["status"] == "completed"
    assert len(one.events("run", status="resumed")) == 1, "once nothing waits any more"
    results = [item.output for item in model.requests[1].context if isinstance(item, ToolResult)]
    assert results[:3] == ["paid"] * 3
    assert "amount" in results[3]


async def test_it_outlives_its_viewers_and_a_reload(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    _, _, one, run_id, call = await opened(serve, device, abandon_seconds=0, grace_seconds=0)
    await one.drop()
    other = device(one.url, **one.place)
    payload = await other.connect()
    assert payload["pending_approvals"][0]["tool_call_id"] == call["tool_call_id"]
    answer = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
    assert (await other.call("approve", answer))["ok"]
    assert (await other.done(run_id))["status"] == "completed"


async def test_an_abandoned_question_ends_by_its_expiry(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    running, model, one, run_id, _ = await opened(
        serve, device, abandon_seconds=0.3, approval_seconds=0.5
    )
    await one.drop()
    async with asyncio.timeout(10):
        while running.server.hub.runs:
            await asyncio.sleep(0.02)
    await one.connect()
    assert (await one.done(run_id))["status"] == "completed", "the limit begins anew"
    assert one.events("tool_call")[-1]["status"] == "expired"
    assert len(model.requests) == 2


async def test_it_waits_on_over_a_restart(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    running, _, one, run_id, call = await opened(serve, device)
    beside = asyncio.get_running_loop().time()
    await running.stop()
    assert asyncio.get_running_loop().time() - beside < 2, "draining does not wait for a person"
    running = await serve(ScriptedModel(says("paid")), tools=("money",))
    other = device(running.url, **one.place)
    payload = await other.connect()
    (pending,) = payload["pending_approvals"]
    assert pending["approval"]["expires_at"] == call["approval"]["expires_at"]
    assert payload["active_run"]["status"] == "awaiting_approval"
    answer = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
    assert (await other.call("approve", answer))["ok"]
    assert (await other.done(run_id))["status"] == "completed"
    assert paid == [("Ann", 5)]
    assert len(other.events("done")) == 1


async def test_the_model_is_asked_the_same_over_a_restart(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    """Also where it went on after its call."""
    say = [TextDelta("I pay."), ToolCallReady("0", "pay", '{"to": "Ann", "amount": 5}')]
    script: Script = [[*say, TextDelta(" One moment.")], [Finished("tool_calls")]]
    asked: list[Any] = []
    for restarted in (False, True):
        running, model, one, run_id, call = await opened(serve, device, script, says("paid"))
        if restarted:
            await running.stop()
            model = ScriptedModel(says("paid"))
            running = await serve(model, tools=("money",))
            one = device(running.url, **one.place)
            await one.connect()
        answer = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
        assert (await one.call("approve", answer))["ok"]
        done = await one.done(run_id)
        assert (done["status"], done["text"]) == ("completed", "I pay. One moment.\n\npaid")
        context = msgspec.to_builtins(model.requests[-1].context)
        asked.append([{k: v for k, v in item.items() if k != "tool_call_id"} for item in context])
        await one.drop()
        await running.stop()
    assert asked[0] == asked[1]
    assert [item.get("text", item.get("name")) for item in asked[0]] == [
        *("pay Ann", "I pay.", "pay", " One moment.", None),
    ]


async def test_other_arguments_than_approved_never_run(
    serve: Serve, device: MakeDevice, paid: list[Any]
) -> None:
    running, _, one, run_id, call = await opened(serve, device)
    async with running.server.hub.hold(one.session["session_id"]) as actor:
        assert actor
        held = actor.session.call(call["tool_call_id"])
        assert held is not None
        held.arguments["amount"] = 500
    answer = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
    assert (await one.call("approve", answer))["ok"]
    await one.done(run_id)
    assert one.events("tool_call")[-1]["status"] == "failed"
    assert paid == []


def test_the_hash_tells_calls_apart() -> None:
    def hashed(name: str, arguments: Any) -> str:
        return arguments_hash(
            ToolCall(tool_call_id="1", name=name, status="ready", arguments=arguments)
        )

    assert hashed("pay", {"a": 1}) == hashed("pay", {"a": 1})
    assert len({hashed("pay", {"a": 1}), hashed("pay", {"a": 2}), hashed("win", {"a": 1})}) == 3


async def test_rules_that_cannot_be_asked() -> None:
    async def rule(**arguments: Any) -> bool:
        return False

    def pay() -> None: ...

    with pytest.raises(TypeError, match="rule"):
        FunctionTool(pay, approval=rule)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="APPROVAL_SECONDS"):
        Settings.load({"APPROVAL_SECONDS": "-1"}, None)


TOOLS = """
from pathlib import Path
from realtime.tools import ToolContext, tool

@tool(approval=True)
def pay(to: str, context: ToolContext) -> str:
    "Pay somebody."
    with Path("effects.txt").open("a") as effects:
        effects.write(f"{context.tool_call_id} {to}\\n")
    return "paid"
"""


async def test_it_survives_kill_9_before_and_expires_by_its_first_clock(tmp_path: Path) -> None:
    (tmp_path / "own_tools.py").write_text(TOOLS)
    async with world(tmp_path, TOOLS="own_tools", APPROVAL_SECONDS="8") as scene:
        one = await scene.device("raw")
        ack = await one.send('tool pay {"to": "Ann"} tokens 4 rate 0')
        late = await scene.device("raw")
        other = await late.send('tool pay {"to": "Bob"} tokens 4 rate 0')
        await one.until(lambda: asked(one))
        expires_at = (await late.until(lambda: asked(late)))["approval"]["expires_at"]
        await scene.restart()
        await one.until(lambda: (one.live and one.connects > 1) or None)
        assert one.pages[-1]["pending_approvals"][0]["approval"]
        call = asked(one)
        assert call is not None
        answer = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
        assert (await one.call("approve", **answer))["ok"]
        assert (await one.done(ack["run_id"], 10))["status"] == "completed"
        await scene.kill()
        await scene.start()
        assert (await late.done(other["run_id"], 10))["status"] == "completed"
        expired = late.events("tool_call")[-1]
        assert expired["status"] == "expired"
        assert expired["approval"]["expires_at"] == expires_at
        assert expired["ts"] >= expires_at
        effects = (tmp_path / "effects.txt").read_text().splitlines()
        assert effects == [f"{call['tool_call_id']} Ann"], "once, and only what was approved"
        (await scene.verdict()).hold()


def asked(one: Any) -> dict[str, Any] | None:
    calls = [call for call in one.events("tool_call") if call["status"] == "awaiting_approval"]
    return calls[0] if calls else None

"""Tools that run in a front end: stubs of the server, tools that clients declare, who answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from realtime.live.client_result import answer_of
from realtime.models import ToolRequest, ToolResult
from realtime.protocol import ClientResult, to_json
from realtime.tools import FunctionTool, tool
from tests.support.device import Device
from tests.support.scripted import Script, ScriptedModel, asks, says
from tests.support.serving import Running, Serve
from tests.support.world import world

MakeDevice = Callable[..., Device]
LOCATE = asks(("locate", '{"accuracy": 5}'))
HERE = {"lat": 52.5, "lon": 13.4}


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with the stubs `locate`, and `delete`, which needs approval."""

    @tool(client=True)
    def locate(accuracy: int = 10) -> dict[str, float]:
        """Where the user is."""
        raise AssertionError("a stub is never called")

    @tool(client=True, approval=True, deadline_s=60)
    async def delete(name: str) -> None:
        """Delete a file of the user's."""
        raise AssertionError("a stub is never called")

    module = ModuleType("places")
    module.locate, module.delete = locate, delete  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "places", module)


async def asked(one: Device) -> dict[str, Any]:
    """The first call that waits for a device."""
    return (await one.durable("tool_call", status="awaiting_client"))[0]


async def opened(
    serve: Serve, device: MakeDevice, *scripts: Script, **settings: Any
) -> tuple[Running, ScriptedModel, Device, str, dict[str, Any]]:
    """A server, a device, and a run that waits for it with one call."""
    model = ScriptedModel(*(scripts or (LOCATE, says("Berlin"))))
    running = await serve(model, tools=("places",), **settings)
    one = device(running.url)
    await one.connect()
    run_id = (await one.send("where am I?"))["run_id"]
    return running, model, one, run_id, await asked(one)


def result(call: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"tool_call_id": call["tool_call_id"], **(more or {"output": HERE})}


async def test_a_device_answers_and_the_model_goes_on(serve: Serve, device: MakeDevice) -> None:
    _, model, one, run_id, call = await opened(serve, device)
    assert (call["name"], call["arguments"]) == ("locate", {"accuracy": 5})
    assert call["client"]["timeout_ms"] == 30_000
    left_ms = call["client"]["expires_at"] - call["ts"]  # of times that were read one by one
    assert abs(left_ms - 30_000) < 5_000
    (spec,) = [spec for spec in model.requests[0].tools if spec.name == "locate"]
    assert (spec.description, spec.parameters["properties"]["accuracy"]["type"]) == (
        *("Where the user is.", "integer"),
    )
    payload = await one.call("join", {"session_id": one.session["session_id"]})
    assert payload["pending_client_calls"] == [{"event": "tool_call", **call}]
    assert payload["pending_approvals"] == []

    assert await one.call("tool_result", result(call)) == {"ok": True, "status": "resolved"}
    done = await one.done(run_id)
    assert (done["status"], done["text"]) == ("completed", "Berlin")
    assert [event["status"] for event in one.events("tool_call")] == [
        *("ready", "awaiting_client", "completed"),
    ]
    closed = one.events("tool_call")[-1]
    assert (closed["output"], closed["client"]["answered_by"]) == (HERE, one.session["you"])
    item = model.requests[1].context[-1]
    assert isinstance(item, ToolResult)
    assert msgspec.json.decode(item.output) == HERE
    again = (await one.call("tool_result", result(call)))["error"]
    assert (again["code"], again["answered_by"]) == ("already_resolved", one.session["you"])
    assert "pending_client_calls" not in await one.call(
        "join", {"session_id": one.session["session_id"]}
    )


async def test_of_two_devices_the_first_wins_and_a_reader_may_not(
    serve: Serve, device: MakeDevice
) -> None:
    running, _, one, run_id, call = await opened(serve, device)
    session_id = one.session["session_id"]
    others = []
    for access in ("read", "full"):
        share = (await one.call("share", {"access": access}))["share"]
        others.append(device(running.url, session_id=session_id, share=share))
        await others[-1].connect()
    reader, guest = others
    assert (await reader.call("tool_result", result(call)))["error"]["code"] == "forbidden"
    stranger = device(running.url)
    await stranger.connect()
    for where in ({}, {"session_id": session_id}):
        foreign = await stranger.call("tool_result", {**result(call), **where})
        assert foreign["error"]["code"] == "not_found"
    answers = await asyncio.gather(
        one.call("tool_result", result(call, output=1)),
        guest.call("tool_result", result(call, output=2)),
    )
    assert sorted(answer["ok"] for answer in answers) == [False, True]
    lost = next(answer for answer in answers if not answer["ok"])["error"]
    winner, said = (one, 1) if answers[0]["ok"] else (guest, 2)
    assert (lost["code"], lost["answered_by"]) == ("already_resolved", winner.session["you"])
    for each in (one, guest, reader):
        assert (await each.done(run_id))["status"] == "completed"
        assert each.events("tool_call")[-1]["output"] == said


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"message": "no permission", "code": "denied_by_user"}, "denied_by_user", "no permission"),
        ({"message": "x" * 5000}, "tool_error", "x" * 2000),
    ],
)
async def test_a_device_may_fail(
    serve: Serve, device: MakeDevice, given: dict[str, str], code: str, message: str
) -> None:
    _, model, one, run_id, call = await opened(serve, device)
    assert (await one.call("tool_result", result(call, error=given)))["ok"]
    assert (await one.done(run_id))["status"] == "completed"
    closed = one.events("tool_call")[-1]
    assert (closed["status"], closed["error"]) == ("failed", {"code": code, "message": message})
    assert message in model.requests[1].context[-1].output  # type: ignore[union-attr]


async def test_answers_that_are_none(serve: Serve, device: MakeDevice) -> None:
    _, _, one, run_id, call = await opened(serve, device)
    for bad in ({}, {"output": 1, "error": {"message": "x"}}, {"error": "x"}, {"error": {}}):
        answer = {"tool_call_id": call["tool_call_id"], **bad}
        assert (await one.call("tool_result", answer))["error"]["code"] == "bad_request"
    assert (await one.call("tool_result", result(call)))["ok"]
    assert (await one.done(run_id))["status"] == "completed"


def test_an_output_is_bounded_as_it_is_written() -> None:
    """`1e15` is a third as long as it comes in a frame."""
    output, error = answer_of(ClientResult(tool_call_id="1", output=[1e15] * 12_000))
    assert error is None
    assert output.endswith("bytes in all]")
    assert len(to_json(output)) <= 64 * 1024


async def test_null_is_an_answer(serve: Serve, device: MakeDevice) -> None:
    _, model, one, run_id, call = await opened(serve, device)
    assert (await one.call("tool_result", result(call, output=None)))["ok"]
    assert (await one.done(run_id))["status"] == "completed"
    assert model.requests[1].context[-1].output == "null"  # type: ignore[union-attr]


async def test_bad_arguments_never_reach_a_device(serve: Serve, device: MakeDevice) -> None:
    model = ScriptedModel(asks(("locate", '{"accuracy": "high"}')), says("Sorry."))
    running = await serve(model, tools=("places",))
    one = device(running.url)
    await one.connect()
    await one.done((await one.send("where am I?"))["run_id"])
    assert [event["status"] for event in one.events("tool_call")] == ["ready", "failed"]


async def test_a_person_agrees_first_and_may_change_the_arguments(
    serve: Serve, device: MakeDevice
) -> None:
    model = ScriptedModel(asks(("delete", '{"name": "a.txt"}')), says("Gone."))
    running = await serve(model, tools=("places",))
    one = device(running.url)
    await one.connect()
    run_id = (await one.send("delete a.txt"))["run_id"]
    call = (await one.durable("tool_call", status="awaiting_approval"))[0]
    assert "expires_at" not in call["client"]
    early = await one.call("tool_result", result(call))
    assert early["error"]["code"] == "not_found"
    decision = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
    assert (await one.call("approve", {**decision, "arguments": {"name": "b.txt"}}))["ok"]
    call = await asked(one)
    assert call["arguments"] == {"name": "b.txt"}
    assert 59_000 < call["client"]["expires_at"] - call["ts"] <= 60_000
    assert (await one.call("tool_result", result(call, output=None)))["ok"]
    assert (await one.done(run_id))["status"] == "completed"
    request = model.requests[1].context[-2]
    assert isinstance(request, ToolRequest)
    assert msgspec.json.decode(request.arguments) == {"name": "b.txt"}


def nested(levels: int, inner: Any = 1) -> Any:
    for _ in range(levels):
        inner = {"in": inner}
    return inner


@pytest.mark.parametrize(
    ("output", "words"), [(10**100, "100 digits"), ({"a": [-(10**99)]}, "100 digits")]
)
async def test_an_output_that_not_every_client_can_read_is_refused(
    serve: Serve, device: MakeDevice, output: Any, words: str
) -> None:
    _, _, one, run_id, call = await opened(serve, device)
    refused = (await one.call("tool_result", result(call, output=output)))["error"]
    assert refused["code"] == "bad_request"
    assert words in refused["message"]
    assert (await one.call("tool_result", result(call)))["ok"]
    assert (await one.done(run_id))["status"] == "completed"


async def test_an_output_may_be_nested_as_deeply_as_a_frame(
    serve: Serve, device: MakeDevice
) -> None:
    _, _, one, run_id, call = await opened(serve, device)
    deep = nested(126)  # in the payload, which is in the packet
    assert (await one.call("tool_result", result(call, output=deep)))["ok"]
    assert (await one.done(run_id))["status"] == "completed"
    assert one.events("tool_call")[-1]["output"] == deep


async def test_it_expires_with_the_deadline_of_the_tool(
    serve: Serve, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool(client=True, deadline_s=0.3)
    def locate(accuracy: int = 10) -> None:
        """Where the user is."""

    monkeypatch.setattr(sys.modules["places"], "locate", locate)
    _, model, one, run_id, call = await opened(serve, device)
    assert (await one.done(run_id))["status"] == "completed"
    closed = one.events("tool_call")[-1]
    assert (closed["status"], closed["error"]["code"]) == ("expired", "expired")
    assert "no device" in model.requests[1].context[-1].output  # type: ignore[union-attr]
    assert (await one.call("tool_result", result(call)))["error"]["code"] == "expired"


@pytest.mark.parametrize("command", ["stop", "end"])
async def test_stop_and_end_take_the_call_back(
    serve: Serve, device: MakeDevice, command: str
) -> None:
    _, _, one, run_id, call = await opened(serve, device)
    assert (await one.call(command))["ok"]
    assert (await one.done(run_id))["status"] == "cancelled"
    assert one.events("tool_call")[-1]["status"] == "cancelled"
    assert (await one.call("tool_result", result(call)))["error"]["code"] == "already_done"


async def test_waiting_for_a_device_is_nobodys_absence(serve: Serve, device: MakeDevice) -> None:
    _, _, one, run_id, call = await opened(serve, device, abandon_seconds=0, grace_seconds=0)
    await one.drop()
    other = device(one.url, **one.place)
    payload = await other.connect()
    assert payload["pending_client_calls"][0]["tool_call_id"] == call["tool_call_id"]
    assert payload["pending_client_calls"][0]["arguments"] == {"accuracy": 5}
    assert (await other.call("tool_result", result(call)))["ok"]
    assert (await other.done(run_id))["status"] == "completed"


async def test_it_waits_on_over_a_restart(serve: Serve, device: MakeDevice) -> None:
    running, _, one, run_id, call = await opened(serve, device)
    begun = asyncio.get_running_loop().time()
    await running.stop()
    assert asyncio.get_running_loop().time() - begun < 2, "draining does not wait for a device"
    running = await serve(ScriptedModel(says("Berlin")), tools=("places",))
    other = device(running.url, **one.place)
    (pending,) = (await other.connect())["pending_client_calls"]
    assert pending["client"] == call["client"]
    assert (await other.call("tool_result", result(call)))["ok"]
    assert (await other.done(run_id))["status"] == "completed"
    assert len(other.events("done")) == 1
    assert not other.events("run", status="resumed"), "it had not stopped"


STUB = """
from realtime.tools import tool

@tool(client=True, deadline_s=8)
def locate(accuracy: int) -> None:
    "Where the user is."
"""


async def test_it_survives_kill_9_before_and_expires_by_its_first_clock(tmp_path: Path) -> None:
    (tmp_path / "stubs.py").write_text(STUB)
    async with world(tmp_path, TOOLS="stubs") as scene:

        def call_of(one: Any) -> dict[str, Any] | None:
            calls = one.events("tool_call")
            return next((call for call in calls if call["status"] == "awaiting_client"), None)

        one = await scene.device("raw")
        ack = await one.send('tool locate {"accuracy": 1} tokens 4 rate 0')
        late = await scene.device("raw")
        other = await late.send('tool locate {"accuracy": 2} tokens 4 rate 0')
        call = await one.until(lambda: call_of(one))
        expires_at = (await late.until(lambda: call_of(late)))["client"]["expires_at"]
        await scene.restart()
        await one.until(lambda: (one.live and one.connects > 1) or None)
        assert one.pages[-1]["pending_client_calls"][0]["tool_call_id"] == call["tool_call_id"]
        assert (await one.call("tool_result", **result(call)))["ok"]
        assert (await one.done(ack["run_id"], 10))["status"] == "completed"
        await scene.kill()
        await scene.start()
        assert (await late.done(other["run_id"], 10))["status"] == "completed"
        expired = late.events("tool_call")[-1]
        assert (expired["status"], expired["client"]["expires_at"]) == ("expired", expires_at)
        assert expired["ts"] >= expires_at
        (await scene.verdict()).hold()


DRAW = {
    "name": "draw",
    "description": "Draw a shape on the user's screen.",
    "parameters": {
        "type": "object",
        "properties": {"shape": {"enum": ["circle", "square"]}},
        "required": ["shape"],
    },
    "deadline_s": 5,
}


@pytest.mark.parametrize("how", ["handshake", "join", "create"])
async def test_a_client_declares_a_tool(serve: Serve, device: MakeDevice, how: str) -> None:
    script = asks(("draw", '{"shape": "circle"}'), ("draw", '{"shape": "moon"}'))
    model = ScriptedModel(script, says("Look."))
    running = await serve(model, tools=("places",), client_tools=True)
    one = device(running.url, **({"tools": [DRAW]} if how == "handshake" else {}))
    await one.connect()
    if how == "create":
        ack = await one.call("create", {"tools": [DRAW]})
        await one.call("leave", {"session_id": one.session["session_id"]})
        one.adopt(ack)
    elif how == "join":
        session_id = one.session["session_id"]
        assert (await one.call("join", {"session_id": session_id, "tools": [DRAW]}))["ok"]
    run_id = (await one.send("draw a circle"))["run_id"]
    call = await asked(one)
    assert (call["arguments"], call["client"]["timeout_ms"]) == ({"shape": "circle"}, 5000)
    assert (await one.call("tool_result", result(call, output="drawn")))["ok"]
    assert (await one.done(run_id))["status"] == "completed"
    assert [spec.name for spec in model.requests[0].tools] == ["locate", "delete", "draw"]
    (failed,) = one.events("tool_call", status="failed")
    assert failed["error"]["code"] == "bad_arguments"
    other = device(running.url)
    await other.connect()
    await other.done((await other.send("and you?"))["run_id"])
    assert [spec.name for spec in model.requests[-1].tools] == ["locate", "delete"], "one session's"


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({"allOf": [{"$ref": "#"}]}, '{"a": 1}'),
        ({"unevaluatedProperties": False, "allOf": [{"$ref": "#"}]}, '{"a": 1}'),
        ({"properties": {"a": {"$ref": "#"}}}, '{"a":' * 120 + "{}" + "}" * 120),
        ({"properties": {"a": {"multipleOf": 0.1}}}, f'{{"a": {"9" * 400}}}'),
        ({"properties": {"a": {"multipleOf": 0.1}}}, '{"a": 1e999}'),
        ({}, f'{{"a": {10**100}}}'),
    ],
)
async def test_arguments_that_cannot_be_checked_are_refused(
    serve: Serve,
    device: MakeDevice,
    caplog: pytest.LogCaptureFixture,
    parameters: dict[str, Any],
    arguments: str,
) -> None:
    declared = {**DRAW, "parameters": {"type": "object", **parameters}}
    model = ScriptedModel(asks(("draw", arguments)), says("I see."))
    running = await serve(model, client_tools=True)
    one = device(running.url, tools=[declared])
    await one.connect()
    assert (await one.ask("draw"))["status"] == "completed"
    failed = one.events("tool_call")[-1]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "bad_arguments")
    assert not [line for line in caplog.records if line.exc_info]


async def test_the_newest_of_a_name_counts_and_the_oldest_give_way(
    serve: Serve, device: MakeDevice
) -> None:
    model = ScriptedModel(says("Yes."))
    running = await serve(model, tools=("places",), client_tools=True)
    one = device(running.url, tools=[{**DRAW, "name": f"draw_{n}"} for n in range(16)])
    session_id = (await one.connect())["session_id"]
    more = [{**DRAW, "name": "draw_1", "description": "New."}, {**DRAW, "name": "more"}]
    assert (await one.call("join", {"session_id": session_id, "tools": more}))["ok"]
    await one.done((await one.send("hi"))["run_id"])
    offered = {spec.name: spec.description for spec in model.requests[0].tools[2:]}
    assert list(offered) == [*(f"draw_{n}" for n in range(2, 16)), "draw_1", "more"]
    assert offered["draw_1"] == "New."


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([{**DRAW, "name": "locate"}], "locate"),
        ([DRAW, DRAW], "draw"),
        ([{**DRAW, "name": "draw me"}], "draw me"),
        ([{**DRAW, "name": "9"}], "digit"),
        ([{**DRAW, "parameters": {"type": "array"}}], "object"),
        ([{**DRAW, "description": "x" * 9000}], "8192"),
        ([{**DRAW, "deadline_s": 0}], "deadline_s"),
        ([{**DRAW, "approval": True}], "approval"),
        ([{**DRAW, "name": f"draw_{n}"} for n in range(17)], "16"),
    ],
)
async def test_tools_that_are_refused(
    serve: Serve, device: MakeDevice, tools: list[Any], words: str
) -> None:
    running = await serve(tools=("places",), client_tools=True)
    one = device(running.url)
    await one.connect()
    before = running.server.hub.sessions
    for command in ("create", "join"):
        refused = (await one.call(command, {"tools": tools}))["error"]
        assert refused["code"] == "bad_request"
        assert words in refused["message"]
    assert running.server.hub.sessions == before


async def test_a_server_takes_none_unless_it_is_told_to(serve: Serve, device: MakeDevice) -> None:
    running = await serve(tools=("places",))
    one = device(running.url, tools=[DRAW])
    error = (await one.connect())["error"]
    assert error["code"] == "bad_request"
    assert "CLIENT_TOOLS" in error["message"]


async def test_whoever_only_reads_offers_no_tools(serve: Serve, device: MakeDevice) -> None:
    model = ScriptedModel(says("Yes."))
    running = await serve(model, tools=("places",), client_tools=True)
    one = device(running.url)
    session_id = (await one.connect())["session_id"]
    share = (await one.call("share", {"access": "read"}))["share"]
    reader = device(running.url, session_id=session_id, share=share, tools=[DRAW])
    assert (await reader.connect())["access"] == "read"
    await one.done((await one.send("hi"))["run_id"])
    assert [spec.name for spec in model.requests[0].tools] == ["locate", "delete"]


async def test_no_schema_of_a_stranger_holds_up_the_server(
    serve: Serve, device: MakeDevice
) -> None:
    doubled = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(40)
    }
    hostile = {
        "type": "object",
        "$defs": {**doubled, "d40": {"pattern": "(a+)+$"}},
        "properties": {
            "one": {"type": "string", "pattern": "(a+)+$"},
            "two": {"not": {"$ref": "#/$defs/d0"}},
        },
    }
    arguments = msgspec.json.encode({"one": "a" * 60 + "!", "two": "a"}).decode()
    model = ScriptedModel(asks(("draw", arguments)), says("No."))
    running = await serve(model, tools=("places",), client_tools=True)
    one = device(running.url)
    await one.connect()
    began = asyncio.get_running_loop().time()
    payload = {"tools": [{**DRAW, "parameters": hostile}]}
    ack = await one.call("join", {"session_id": one.session["session_id"], **payload})
    if ack["ok"]:
        await one.send("draw")
        await one.durable("tool_call", 2)
    assert asyncio.get_running_loop().time() - began < 10


def test_a_stub_needs_no_body_and_is_never_called() -> None:
    def locate(accuracy: int) -> None:
        """Where the user is."""

    made = FunctionTool(locate, client=True)
    assert made.client
    assert made.parse('{"accuracy": 3}') == {"accuracy": 3}

"""Traces of runs, as a collector gets them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType

import pytest
from opentelemetry.trace import get_current_span

from realtime.models import Finished, ModelError, TextDelta, Usage
from realtime.runs.chain import Chain, Link
from realtime.tools import ToolError, tool
from tests.support.collector import Collector, Seen, collecting
from tests.support.device import Device
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve
from tests.tools.plain_mcp import entry

Devices = Callable[..., Device]
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
SECRET = "the plans for the invasion"
SAYS_META = """
for line in sys.stdin:
    message = json.loads(line)
    meta = (message.get("params") or {}).get("_meta") or {}
    told = lambda name, arguments: text(meta.get("traceparent", ""))
    reply = answer(message, lambda params: {"tools": [described("where")]}, told)
    if reply:
        print(json.dumps(reply), flush=True)
"""


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """Where the servers of a test send their spans, at once."""
    async with collecting() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield made


@pytest.fixture
def within(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trace and the span within which the tools of a module ran."""
    ran: list[str] = []

    @tool
    async def look(where: str) -> str:
        """Look there."""
        context = get_current_span().get_span_context()
        ran.append(f"{context.trace_id:032x} {context.span_id:016x}")
        if where == "behind":
            raise ToolError(f"there is nothing but {SECRET}", "nothing_there")
        return SECRET

    @tool(approval=True)
    def pay() -> str:
        """Pay."""
        context = get_current_span().get_span_context()
        ran.append(f"{context.trace_id:032x} {context.span_id:016x}")
        return "paid"

    module = ModuleType("looking")
    module.look, module.pay = look, pay  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "looking", module)
    return ran


def names(spans: list[Seen]) -> list[str]:
    return [span.name for span in spans]


async def test_a_run_with_its_calls_and_its_commit(
    collector: Collector, serve: Serve, device: Devices, within: list[str]
) -> None:
    said = [[TextDelta(SECRET)], [Usage(7, 2, 1, 5), Finished("stop")]]
    running = await serve(
        ScriptedModel(asks(("look", '{"where": "here"}'), ("look", '{"where": "behind"}')), said),
        tools=("looking",),
        prices={"scripted": {"input": 1, "output": 1}},
    )
    one = device(running.url)
    await one.connect(headers={"traceparent": TRACEPARENT})
    done = await one.ask(SECRET)
    (run,) = await collector.runs()
    assert (run.trace_id, run.parent_id) == (TRACE, CALLER)
    assert run.kind == "INTERNAL"
    assert run.error is None
    assert run.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.conversation.id": one.session["session_id"],
        "gen_ai.request.model": "scripted",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": done["usage"]["input_tokens"],
        "gen_ai.usage.output_tokens": done["usage"]["output_tokens"],
        "gen_ai.usage.reasoning.output_tokens": 1,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "user.id": one.session["user_id"],
        "realtime.run.id": done["run_id"],
        "realtime.run.queued_ms": 0,
        "realtime.run.status": "completed",
        "realtime.cost_dollars": done["usage"]["cost"],
    }
    first, look, behind, second, commit = collector.below(run)
    assert names([first, second, commit]) == ["chat scripted", "chat scripted", "commit"]
    assert first.attributes["gen_ai.response.finish_reasons"] == ["tool_calls"]
    delay = second.attributes.pop("gen_ai.response.time_to_first_chunk")
    assert isinstance(delay, float)
    assert second.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "scripted",
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": one.session["session_id"],
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "realtime.cost_dollars": 9e-06,
    }
    ids = {event["tool_call_id"] for event in one.events("tool_call")}
    assert {look.attributes["gen_ai.tool.call.id"], behind.attributes["gen_ai.tool.call.id"]} == ids
    assert {look.name, behind.name} == {"execute_tool look"}
    assert {look.error, behind.error} == {None, "nothing_there"}
    assert sorted(within) == sorted(f"{TRACE} {span.span_id}" for span in (look, behind))
    assert run.end >= commit.end
    assert SECRET.encode() not in collector.raw


async def test_a_message_that_waits_keeps_the_trace_it_was_sent_with(
    collector: Collector, serve: Serve, device: Devices
) -> None:
    go_on = asyncio.Event()
    running = await serve(ScriptedModel([[TextDelta("one")], go_on, [Finished("stop")]], says("2")))
    one = device(running.url)
    await one.connect(headers={"traceparent": TRACEPARENT})
    await one.send("first")
    other = TRACEPARENT.replace(TRACE, TRACE[::-1])
    waits = await one.send("second", traceparent=other)
    assert waits["status"] == "queued"
    go_on.set()
    await one.done(waits["run_id"])
    first, second = await collector.runs(2)
    assert (first.trace_id, first.parent_id) == (TRACE, CALLER)
    assert (second.trace_id, second.parent_id) == (TRACE[::-1], CALLER)
    assert second.attributes["realtime.run.queued_ms"] > 0
    assert names(collector.below(second)) == ["chat scripted", "commit"]


@pytest.mark.parametrize("given", ["nonsense", "00-0-0-01", "9" * 5000])
async def test_a_header_that_says_nothing_begins_a_trace(
    collector: Collector, serve: Serve, device: Devices, given: str
) -> None:
    running = await serve(ScriptedModel(says("hi")))
    one = device(running.url)
    await one.connect(headers={"traceparent": given})
    await one.ask("hello")
    (run,) = await collector.runs()
    assert (run.parent_id, len(run.trace_id)) == ("", 32)


async def test_a_retry_and_a_fallback_are_calls_of_their_own(
    collector: Collector, serve: Serve, device: Devices
) -> None:
    busy = ModelError("unavailable", f"cannot answer {SECRET}", retry_after_s=0)
    failing, good = ScriptedModel([busy], [busy], [ModelError("quota", SECRET)]), ScriptedModel()
    failing.name, good.name, good.scripts = "first", "second", [says("here")]
    running = await serve(Chain([Link(failing, "a")], [Link(good, "b")]))
    one = device(running.url)
    await one.connect()
    await one.ask("anybody?")
    (run,) = await collector.runs()
    calls = collector.below(run)
    assert names(calls) == ["chat first", "chat first", "chat first", "chat second", "commit"]
    assert [call.error for call in calls] == ["unavailable", "unavailable", "quota", None, None]
    assert [call.attributes.get("error.type") for call in calls[:3]] == [c.error for c in calls[:3]]
    assert run.error is None
    assert run.attributes["gen_ai.request.model"] == "second"
    assert SECRET.encode() not in collector.raw


async def test_a_run_that_fails_says_why(
    collector: Collector, serve: Serve, device: Devices
) -> None:
    running = await serve(ScriptedModel([ModelError("unauthorized", "no")]))
    one = device(running.url)
    await one.connect()
    await one.ask("hello")
    (run,) = await collector.runs()
    assert run.error == run.attributes["error.type"] == "model_unauthorized"
    assert run.attributes["realtime.run.status"] == "failed"


async def test_a_wait_for_approval_is_not_a_part_of_the_call(
    collector: Collector, serve: Serve, device: Devices, within: list[str]
) -> None:
    running = await serve(ScriptedModel(asks(("pay", "{}")), says("paid")), tools=("looking",))
    one = device(running.url)
    await one.connect()
    run_id = (await one.send("pay it"))["run_id"]
    (asked,) = await one.durable("tool_call", status="awaiting_approval")
    await one.call("approve", {"tool_call_id": asked["tool_call_id"], "decision": "approve"})
    await one.done(run_id)
    (run,) = await collector.runs()
    spans = collector.below(run)
    assert names(spans) == [
        *("chat scripted", "awaiting_approval", "execute_tool pay", "chat scripted", "commit")
    ]
    _, wait, call, *_ = spans
    assert wait.end <= call.start
    assert wait.attributes["gen_ai.tool.call.id"] == call.attributes["gen_ai.tool.call.id"]
    assert within == [f"{run.trace_id} {call.span_id}"], "in its thread too"


async def test_what_is_stopped_has_not_failed(
    collector: Collector, serve: Serve, device: Devices
) -> None:
    running = await serve(ScriptedModel([[TextDelta("a long story")], asyncio.Event()]))
    one = device(running.url)
    await one.connect()
    await one.send("tell")
    await one.durable("token")
    await one.call("stop")
    (run,) = await collector.runs()
    (call,) = await collector.until("chat scripted")
    assert call.parent_id == run.span_id
    assert call.attributes["realtime.cancelled"] is True
    assert (run.error, call.error) == (None, None)
    assert run.attributes["realtime.run.status"] == "cancelled"


async def test_an_answer_that_goes_on_by_itself_stays_in_its_trace(
    collector: Collector, serve: Serve, device: Devices
) -> None:
    cut = [[TextDelta("half")], ModelError("cut", "", retry_after_s=0)]
    running = await serve(ScriptedModel(cut, says(" an answer")), continue_automatically=True)
    one = device(running.url)
    await one.connect(headers={"traceparent": TRACEPARENT})
    await one.ask("tell")
    first, second = await collector.runs(2)
    assert (first.error, second.error) == ("interrupted", None)
    assert (second.trace_id, second.parent_id) == (TRACE, first.span_id)


@pytest.mark.parametrize(
    ("server", "provider", "host", "port"),
    [
        ("api.openai.com", "openai", "api.openai.com", 443),
        ("mine.openai.azure.com", "azure.ai.openai", "mine.openai.azure.com", 443),
        ("localhost:11434", "localhost", "localhost", 11434),
        ("[::1]:8080", "::1", "::1", 8080),
    ],
)
async def test_a_provider_is_named_and_told_of_the_trace(
    collector: Collector,
    serve: Serve,
    device: Devices,
    server: str,
    provider: str,
    host: str,
    port: int,
) -> None:
    model = ScriptedModel(says("hi"))
    model.server = server  # type: ignore[attr-defined]
    running = await serve(model)
    one = device(running.url)
    await one.connect(headers={"traceparent": TRACEPARENT})
    await one.ask("hello")
    (run,) = await collector.runs()
    call, _ = collector.below(run)
    assert call.kind == "CLIENT"
    assert call.attributes["gen_ai.provider.name"] == provider
    assert call.attributes["server.address"] == host
    assert call.attributes["server.port"] == port
    assert model.requests[0].headers == {"traceparent": call.traceparent}


async def test_a_model_of_this_process_has_no_server(
    collector: Collector, serve: Serve, device: Devices
) -> None:
    model = ScriptedModel(says("hi"))
    model.server = "[what: ever"  # type: ignore[attr-defined]
    running = await serve(model)
    one = device(running.url)
    await one.connect()
    assert (await one.ask("hello"))["status"] == "completed"
    (run,) = await collector.runs()
    call, _ = collector.below(run)
    assert call.kind == "INTERNAL"
    assert call.attributes["gen_ai.provider.name"] == "scripted"
    assert "server.address" not in call.attributes


async def test_an_mcp_server_is_told_of_the_trace(
    collector: Collector, serve: Serve, device: Devices, tmp_path: Path
) -> None:
    config = {"mcpServers": {"here": entry(tmp_path, SAYS_META)}}
    (tmp_path / "mcp.json").write_text(json.dumps(config))
    running = await serve(
        ScriptedModel(asks(("here__where", "{}")), says("there")),
        mcp_config=str(tmp_path / "mcp.json"),
    )
    one = device(running.url)
    await one.connect(headers={"traceparent": TRACEPARENT})
    await one.ask("Where?")
    await collector.runs()
    (call,) = collector.named("execute_tool here__where")
    (ended,) = one.events("tool_call", status="completed")
    assert ended["output"] == call.traceparent


async def test_without_a_collector_nothing_is_traced(serve: Serve, device: Devices) -> None:
    running = await serve(ScriptedModel(says("hi")))
    one = device(running.url)
    await one.connect(headers={"traceparent": TRACEPARENT})
    assert (await one.ask("hello", traceparent=TRACEPARENT))["status"] == "completed"
    assert not get_current_span().get_span_context().is_valid

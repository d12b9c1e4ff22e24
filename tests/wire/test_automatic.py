"""An answer that broke off goes on by itself, where nobody need be asked."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from realtime.models import Finished, ModelError, TextDelta, ToolCallReady, Usage
from realtime.models.fitting import CONTINUE
from realtime.models.openai import OpenAIModel
from realtime.tools import ToolContext, ToolError, tool
from tests.support.device import Device
from tests.support.scripted import Script, ScriptedModel, says
from tests.support.serving import Running, Serve

Devices = Callable[..., Device]
Begin = Callable[..., Awaitable[tuple[Running, Device, ScriptedModel]]]


def breaks(*words: str, kind: Any = "cut", tokens: int = 5, after: float | None = None) -> Script:
    """An answer that the provider breaks off."""
    counted = Usage(tokens, len(words))
    error = ModelError(kind, "it broke off", retry_after_s=after)
    return [*([TextDelta(word)] for word in words), [counted], error]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.runs.outcome.PAUSE_S", 0.01)


@pytest.fixture
def begin(serve: Serve, device: Devices) -> Begin:
    async def made(*scripts: Script, **settings: Any) -> tuple[Running, Device, ScriptedModel]:
        model = ScriptedModel(*scripts)
        running = await serve(model, **{"continue_automatically": True, **settings})
        one = device(running.url)
        await one.connect()
        return running, one, model

    return made


async def last(one: Device, run_id: str) -> list[dict[str, Any]]:
    """The `done` of a run, and of those that went on by themselves."""
    ends = [await one.done(run_id)]
    while next_id := ends[-1].get("continued_by"):
        ends.append(await one.done(next_id))
    return ends


def text(one: Device, message_id: str) -> str:
    tokens = one.events("token", message_id=message_id, kind="text")
    return "".join(token["delta"] for token in tokens)


# ------------------------------------------------------------- the provider


class Cutting:
    """An upstream of both APIs that breaks its first answers off in mid-sentence."""

    def __init__(self, cuts: int) -> None:
        self.cuts = cuts
        self.asked: list[dict[str, Any]] = []

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": []})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        def chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
            return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

        usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
        end = [chunk({}, "stop"), usage]
        return await self._answer(request, [chunk({"content": word}) for word in ("a ", "b ")], end)

    async def responses(self, request: web.Request) -> web.StreamResponse:
        said = [{"type": "response.output_text.delta", "delta": word} for word in ("a ", "b ")]
        usage = {"input_tokens": 9, "output_tokens": 2}
        end = [{"type": "response.completed", "response": {"id": "r", "usage": usage}}]
        return await self._answer(request, said, end)

    async def _answer(
        self, request: web.Request, said: list[Any], end: list[Any]
    ) -> web.StreamResponse:
        self.asked.append(await request.json())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        whole = len(self.asked) > self.cuts
        for event in [*said, *(end if whole else [])]:
            await response.write(b"data: %s\n\n" % json.dumps(event).encode())
        if not whole:
            assert request.transport
            request.transport.close()
        return response


@pytest.fixture
async def cutting(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Cutting, str]]:
    upstream, app = Cutting(2), web.Application()
    app.router.add_post("/v1/chat/completions", upstream.chat)
    app.router.add_post("/v1/responses", upstream.responses)
    app.router.add_get("/v1/models", upstream.models)
    async with TestServer(app) as server:
        yield upstream, str(server.make_url("/v1"))


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_an_answer_that_the_provider_cut_goes_on_in_its_message(
    serve: Serve, device: Devices, cutting: tuple[Cutting, str], api: Any
) -> None:
    upstream, url = cutting
    model = OpenAIModel(api_key="k", base_url=url, model="m", api=api)
    running = await serve(model, continue_automatically=True, prices={"m": PRICE})
    one = device(running.url)
    await one.connect()
    share = (await one.call("share"))["share"]
    two = device(running.url, session_id=one.auth["session_id"], share=share)
    await two.connect()
    ack = await one.send("go")
    ends = await last(one, ack["run_id"])
    assert [end["status"] for end in ends] == ["interrupted", "interrupted", "completed"]
    message_id = ends[0]["message_id"]
    assert {end["message_id"] for end in ends} == {message_id}
    assert text(one, message_id) == ends[-1]["text"] == "a b " * 3
    assert {end["user_id"] for end in ends} == {one.session["you"]}
    assert ends[-1]["usage"] | {"cost": 0} == {"input_tokens": 9, "output_tokens": 2, "cost": 0}
    assert all(end["usage"]["cost"] > 0 for end in ends), "each its own"
    begun = [event for event in one.events("run") if event["status"] == "started"]
    assert [event.get("automatic") for event in begun] == [None, True, True]
    assert [event["seq"] for event in begun[1:]] == [end["seq"] + 1 for end in ends[:-1]]
    waits = one.events("run", status="waiting")
    assert [event["reason"] for event in waits] == ["cut", "cut"]
    assert waits[1]["retry_in_ms"] > waits[0]["retry_in_ms"] > 0
    asked = upstream.asked[-1].get("messages") or upstream.asked[-1]["input"]
    assert asked[-1]["content"] == CONTINUE
    await last(two, ack["run_id"])
    assert text(two, message_id) == text(one, message_id)


PRICE = {"input": 1000.0, "output": 1000.0}


@pytest.mark.parametrize("kind", ["cut", "timeout", "unavailable", "malformed"])
async def test_twice_at_most_until_a_person_asks(begin: Begin, kind: Any) -> None:
    _, one, model = await begin(breaks("word ", kind=kind))
    ends = await last(one, (await one.send("go"))["run_id"])
    assert [end["status"] for end in ends] == ["interrupted"] * 3
    assert len(model.requests) == 3
    again = await last(one, (await one.call("continue", {"run_id": ends[-1]["run_id"]}))["run_id"])
    assert len(again) == 3
    assert again[0]["message_id"] == ends[0]["message_id"]


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (breaks(), "interrupted"),  # after all retries, and nothing was said
        (breaks("word ", kind="quota"), "quota_exceeded"),
        (breaks("word ", kind="bad_request"), "failed"),
        (breaks("word ", kind="unavailable", after=60.0), "interrupted"),
        ([[TextDelta("word ")], [Finished("length")]], "incomplete"),
    ],
)
async def test_what_ends_otherwise_stays_so(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, script: Script, status: str
) -> None:
    monkeypatch.setattr("realtime.runs.chain.PAUSE_S", 0.001)
    _, one, _ = await begin(script)
    (end,) = await last(one, (await one.send("go"))["run_id"])
    assert end["status"] == status


async def test_it_can_be_switched_off(begin: Begin) -> None:
    _, one, model = await begin(breaks("word "), continue_automatically=False)
    (end,) = await last(one, (await one.send("go"))["run_id"])
    assert (end["status"], len(model.requests)) == ("interrupted", 1)


async def test_a_provider_that_is_known_to_fail_is_left_alone(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.runs.chain.FAILURES", 1)
    _, one, model = await begin(breaks("word ", kind="unavailable"), says("done"))
    (end,) = await last(one, (await one.send("go"))["run_id"])
    assert (end["status"], len(model.requests)) == ("interrupted", 1)
    again = await one.call("continue", {"run_id": end["run_id"]})
    assert (await one.done(again["run_id"]))["text"] == "word done"


async def test_not_beyond_the_budget(begin: Begin) -> None:
    _, one, model = await begin(breaks("word ", tokens=600), budget_user_tokens=1000)
    ends = await last(one, (await one.send("go"))["run_id"])
    assert [end["status"] for end in ends] == ["interrupted"] * 2
    assert len(model.requests) == 2, "1200 of 1000"


# ------------------------------------------------------------------- people


@pytest.mark.parametrize("named", ["first", "second", None])
async def test_a_stop_stops_what_goes_on_too(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    monkeypatch.setattr("realtime.runs.outcome.PAUSE_S", 15.0)
    _, one, model = await begin(breaks("word "))
    run_id = (await one.send("go"))["run_id"]
    heir = (await one.done(run_id))["continued_by"]
    stopped = await one.call("stop", {"run_id": {"first": run_id, "second": heir}.get(named or "")})
    assert (stopped["status"], stopped["run_id"]) == ("cancelled", heir)
    (end,) = await last(one, heir)
    assert (end["status"], len(model.requests)) == ("cancelled", 1)


async def test_a_stop_leads_to_nothing(begin: Begin) -> None:
    gate = asyncio.Event()
    _, one, model = await begin([[TextDelta("word ")], gate])
    run_id = (await one.send("go"))["run_id"]
    await one.durable("token")
    assert (await one.call("stop"))["status"] == "cancelled"
    (end,) = await last(one, run_id)
    assert (end["status"], len(model.requests)) == ("cancelled", 1)


async def test_a_message_that_waits_is_answered_after_it(begin: Begin) -> None:
    gate = asyncio.Event()
    first: Script = [[TextDelta("one ")], gate, ModelError("cut", "it broke off")]
    _, one, _ = await begin(first, says("two"), says("three"))
    run_id = (await one.send("go"))["run_id"]
    waits = await one.send("more")
    assert waits["status"] == "queued"
    gate.set()
    ends = await last(one, run_id)
    assert ends[-1]["text"] == "one two"
    assert (await one.done(waits["run_id"]))["text"] == "three"
    assert [end["run_id"] for end in one.events("done")] == [
        *(end["run_id"] for end in ends),
        waits["run_id"],
    ]


@pytest.mark.parametrize("how", ["interrupt", "end", "end and reopen"])
async def test_it_ends_where_nobody_waits_for_it(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("realtime.runs.outcome.PAUSE_S", 15.0)
    _, one, model = await begin(breaks("word "), says("new"))
    heir = (await one.done((await one.send("go"))["run_id"]))["continued_by"]
    if how != "interrupt":
        assert (await one.call("end"))["ok"]
    if how != "end":
        busy = {"if_busy": "interrupt"} if how == "interrupt" else {}
        run_id = (await one.send("something else", **busy))["run_id"]
        assert (await one.done(run_id))["text"] == "new"
    (end,) = await last(one, heir)
    assert end["status"] == "cancelled"
    asked = [request for request in model.requests if request.session_id]  # no summary has one
    assert len(asked) == 1 + (how != "end")


async def test_the_wish_of_who_asked_holds_for_it_too(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, device: Devices
) -> None:
    monkeypatch.setattr("realtime.runs.outcome.PAUSE_S", 15.0)
    running, one, _ = await begin(breaks("word "))
    heir = (await one.done((await one.send("go", on_abandon="cancel"))["run_id"]))["continued_by"]
    await one.drop()
    late = device(running.url, **one.place)
    await late.connect()
    assert (await late.done(heir))["status"] == "cancelled"


# ------------------------------------------------------- tools, and deploys


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Tools: one is slow, one does not know what came of it, one is good."""
    gate = asyncio.Event()

    @tool
    async def slow(context: ToolContext) -> str:
        """Take long."""
        await gate.wait()
        return "done"

    @tool
    async def lost(context: ToolContext) -> str:
        """Get lost."""
        raise ToolError("nobody knows", "unknown_outcome")

    @tool
    async def good(context: ToolContext) -> str:
        """Work."""
        return "done"

    module = ModuleType("desk")
    for function in (slow, lost, good):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "desk", module)
    return gate


def calls(name: str) -> Script:
    return [[ToolCallReady("1", name, "{}"), Finished("tool_calls")]]


@pytest.mark.parametrize(("name", "goes_on"), [("lost", False), ("good", True)])
async def test_not_where_an_effect_is_unknown(
    begin: Begin, desk: asyncio.Event, name: str, goes_on: bool
) -> None:
    _, one, _ = await begin(calls(name), breaks("word "), says("done"), tools=("desk",))
    ends = await last(one, (await one.send("go"))["run_id"])
    assert [end["status"] for end in ends] == ["interrupted", "completed"][: 1 + goes_on]


async def test_a_deploy_with_a_call_under_way_leaves_it_to_a_person(
    begin: Begin, serve: Serve, desk: asyncio.Event
) -> None:
    running, one, _ = await begin(calls("slow"), tools=("desk",), drain_seconds=0.1)
    run_id = (await one.send("go"))["run_id"]
    await one.durable("tool_call", status="running")
    await running.stop()
    one.url = (await serve(ScriptedModel(says("no")), continue_automatically=True)).url
    session = await one.connect()
    (end,) = await last(one, run_id)
    assert (end["status"], session.get("active_run")) == ("interrupted", None)
    assert one.events("tool_call")[-1]["error"]["code"] == "unknown_outcome"


@pytest.mark.parametrize("on", [True, False])
async def test_after_a_deploy_it_goes_on_before_what_waits(
    begin: Begin, serve: Serve, on: bool
) -> None:
    gate = asyncio.Event()
    running, one, _ = await begin(
        [[TextDelta("one ")], gate], continue_automatically=on, drain_seconds=0.1
    )
    run_id = (await one.send("go"))["run_id"]
    await one.durable("token")
    waits = (await one.send("more"))["run_id"]
    await running.stop()
    model = ScriptedModel(*([says("two")] if on else []), says("three"))
    one.url = (await serve(model, continue_automatically=on)).url
    await one.connect()
    ends = await last(one, run_id)
    assert [end["status"] for end in ends] == ["interrupted", "completed"][: 1 + on]
    assert (await one.done(waits))["text"] == "three"
    if on:
        assert ends[-1]["text"] == "one two"
        assert one.events("done")[-1]["run_id"] == waits
        begun = one.events("run", run_id=ends[-1]["run_id"])
        assert [event["status"] for event in begun[:2]] == ["queued", "started"]
        assert len(one.events("run", status="waiting")) == 0, "the provider is not at fault"

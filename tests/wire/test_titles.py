"""A title comes by itself, once, within the budget, and a person's takes its place."""

from __future__ import annotations

import asyncio

import pytest

from realtime.background.titles import INSTRUCTIONS
from realtime.models import Finished, ModelError, Request, TextDelta, Usage
from tests.support.device import Device
from tests.support.scripted import Script, ScriptedModel, says
from tests.support.serving import Serve
from tests.wire.people import Devices
from tests.wire.test_list import listed, told


class Naming(ScriptedModel):
    """Answers by one script and names by another."""

    def __init__(self, title: Script) -> None:
        super().__init__(says("An answer"))
        self.title = title
        self.asked: list[Request] = []

    def stream(self, request: Request):  # type: ignore[no-untyped-def]
        if request.instructions != INSTRUCTIONS:
            return super().stream(request)
        self.asked.append(request)
        return ScriptedModel(self.title).stream(request)


async def titled(one: Device, count: int = 1) -> list[str]:
    events = await one.durable("session_updated", count)
    return [event["title"] for event in events if "title" in event]


async def test_the_first_exchange_is_named_for_every_device(serve: Serve, device: Devices) -> None:
    model = Naming([[TextDelta('"Weather in Paris"\nand more')], [Usage(30, 5), Finished("stop")]])
    running = await serve(model, titles=True)
    one = device(running.url)
    await one.connect()
    await one.ask("How is the weather in Paris?")
    assert await titled(one) == ["Weather in Paris"]
    (event,) = one.events("session_updated")
    assert (event["model"], event["usage"]["input_tokens"]) == ("scripted", 30)
    assert "user_id" not in event
    assert (await told(one, 0, title="Weather in Paris"))["session_id"] == event["session_id"]
    (request,) = model.asked
    assert "How is the weather in Paris?" in request.context[0].text  # type: ignore[union-attr]
    await one.call("rename", {"title": "Mine"})
    await one.ask("And tomorrow?")
    assert await titled(one, 2) == ["Weather in Paris", "Mine"]
    assert len(model.asked) == 1


async def test_a_persons_title_stays(serve: Serve, device: Devices) -> None:
    gate = asyncio.Event()
    model = Naming([gate, *says("Theirs")])
    running = await serve(model, titles=True)
    one = device(running.url)
    await one.connect()
    await one.ask("hello")
    await one.call("rename", {"title": "Mine"})
    gate.set()
    await one.ask("again")
    assert await titled(one, 2) == ["Mine"], "the other event is what the late one cost"
    assert [row["title"] for row in await listed(one)] == ["Mine"]


async def test_answers_that_end_before_the_title_is_there_ask_for_no_other(
    serve: Serve, device: Devices
) -> None:
    gate = asyncio.Event()
    model = Naming([gate, *says("Three questions")])
    running = await serve(model, titles=True)
    one = device(running.url)
    await one.connect()
    for question in "123":
        await one.ask(question)
    gate.set()
    assert await titled(one) == ["Three questions"]
    await one.ask("4")
    assert len(model.asked) == 1


async def test_what_fails_is_tried_with_the_next_answers_and_no_more(
    serve: Serve, device: Devices
) -> None:
    model = Naming([ModelError("bad_request", "no")])
    running = await serve(model, titles=True)
    one = device(running.url)
    await one.connect()
    for question in "12345":
        await one.ask(question)
        await asyncio.sleep(0.1)
    assert len(model.asked) == 3
    assert one.events("session_updated") == []


@pytest.mark.parametrize("title", ["T", '"**"', " \n "])
async def test_it_counts_towards_the_budget_over_a_restart(
    serve: Serve, device: Devices, title: str
) -> None:
    model = Naming([[TextDelta(title)], [Usage(9000, 1000), Finished("stop")]])
    running = await serve(model, titles=True, budget_user_tokens=10_000)
    one = device(running.url)
    await one.connect()
    await one.ask("hello")
    (event,) = await one.durable("session_updated")
    assert event.get("title") == ("T" if title == "T" else None)
    for _ in range(2):
        refused = await one.send("more")
        assert refused["error"]["code"] == "rate_limited"
        await running.stop()
        running = await serve(model, titles=True, budget_user_tokens=10_000)
        one.url = running.url
        await one.connect()

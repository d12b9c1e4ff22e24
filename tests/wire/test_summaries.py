"""Summaries keep up with the sessions that end: some at once, as fast as the provider lets them,
and within the budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from realtime.background import asking
from realtime.background.summary import INSTRUCTIONS
from realtime.models import Finished, ModelError, ModelEvent, Request, TextDelta, Usage
from realtime.runs.chain import Chain, Link
from tests.support.device import Device
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve
from tests.wire.people import Devices
from tests.wire.test_metrics import scrape


class Summing(ScriptedModel):
    """Sums up once `gate` is open, at most `limit` at once; the others are refused for the rate."""

    def __init__(self, limit: int = 1000, usage: Usage | None = None) -> None:
        super().__init__(says("An answer"))
        self.limit = limit
        self.usage = usage or Usage(1, 1)
        self.gate = asyncio.Event()
        self.now = self.most = self.refused = self.asked = 0

    def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        return self.sum_up() if request.instructions == INSTRUCTIONS else super().stream(request)

    async def sum_up(self) -> AsyncGenerator[list[ModelEvent], None]:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.now > self.limit:
                self.refused += 1
                raise ModelError("rate_limited", "slow down")
            await self.gate.wait()
            yield [TextDelta("A summary."), self.usage, Finished("stop")]
        finally:
            self.now -= 1


async def ended(url: str, device: Devices, count: int) -> list[Device]:
    """Devices whose sessions have an answer each, and have ended."""
    made = [device(url) for _ in range(count)]
    for one in made:
        await one.connect()
        await one.ask("hello")
        await one.call("end")
    return made


async def until(true: object) -> None:
    async with asyncio.timeout(15):
        while not true():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_many_are_made_at_once_and_counted_while_answers_go_on(
    serve: Serve, device: Devices
) -> None:
    model = Summing()
    running = await serve(model)
    made = await ended(running.url, device, asking.MOST + 4)
    await until(lambda: model.now == asking.MOST)
    assert (await scrape(running.url))["summaries_waiting"] == len(made)
    live = device(running.url)
    await live.connect()
    assert (await live.ask("hello"))["status"] == "completed"
    model.gate.set()
    for one in made:
        (summary,) = await one.durable("summary")
        assert (summary["status"], summary["model"]) == ("done", "scripted")
        assert summary["usage"]["input_tokens"] == 1
    assert model.most == asking.MOST
    await until(lambda: running.server.hub.count.summaries_waiting == 0)
    assert (await scrape(running.url))["summaries_waiting"] == 0


async def test_a_provider_that_limits_rates_is_asked_less_and_no_summary_fails(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "REST_S", (0.01, 0.05))
    model = Summing(limit=2)
    running = await serve(model)
    made = await ended(running.url, device, asking.MOST)
    await until(lambda: model.refused)
    model.gate.set()
    for one in made:
        assert [event["status"] for event in await one.durable("summary")] == ["done"]
    assert model.refused < len(made), "the others waited for those"


async def test_another_model_may_write_titles_and_summaries(serve: Serve, device: Devices) -> None:
    main, cheap = ScriptedModel(says("An answer")), ScriptedModel(says("Cheap words"))
    cheap.name = cheap.label = "cheap"
    running = await serve(Chain([Link(main, "")], aside=Link(cheap, "")), titles=True)
    one = device(running.url)
    await one.connect()
    assert (await one.ask("hello"))["model"] == "scripted"
    (title,) = await one.durable("session_updated")
    await one.call("end")
    (summary,) = await one.durable("summary")
    assert [event["model"] for event in (title, summary)] == ["cheap", "cheap"]
    assert summary["text"] == "Cheap words"
    assert len(main.requests) == 1
    refused = await one.call("create", {"options": {"model": "cheap"}})
    assert refused["error"]["code"] == "bad_request", "no session may choose it"


async def test_the_budget_counts_a_summary_over_a_restart(serve: Serve, device: Devices) -> None:
    model = Summing(usage=Usage(9000, 1000))
    model.gate.set()
    running = await serve(model, budget_user_tokens=10_000)
    (one,) = await ended(running.url, device, 1)
    await one.durable("summary", status="done")
    for _ in range(2):
        assert (await one.send("more"))["error"]["code"] == "rate_limited"
        await running.stop()
        running = await serve(model, budget_user_tokens=10_000)
        one.url = running.url
        await one.connect()


async def test_a_summary_that_the_budget_has_nothing_left_for_waits(
    serve: Serve, device: Devices
) -> None:
    model = Summing()
    model.gate.set()
    model.scripts = [[[TextDelta("yes"), Usage(9000, 1000), Finished("stop")]]]
    running = await serve(model, budget_user_tokens=10_000)
    (one,) = await ended(running.url, device, 1)
    await one.durable("session_ended")
    await running.stop()
    running = await serve(model, budget_user_tokens=20_000)  # it is tried again after a start
    one.url = running.url
    await one.connect()
    (summary,) = await one.durable("summary")
    assert (summary["status"], model.asked) == ("done", 1)

"""The whole server with a real language model on this machine, over python-socketio's client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import aiohttp
import pytest

from realtime.models import AssistantText, ModelEvent, Request, UserText
from realtime.models.local import LocalModel
from tests.support.device import Device
from tests.support.serving import Serve

MODEL_S = 240  # a real model on a busy machine, which may take several steps


class Recorded:
    """The local model, and a record of what it was asked."""

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self.name, self.label = model.name, model.label
        self.requests: list[Request] = []

    def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        self.requests.append(request)
        return self.model.stream(request)

    async def check(self) -> None:
        await self.model.check()

    async def close(self) -> None:
        await self.model.close()

    async def working(self) -> bool:
        """Whether llama.cpp works on an answer, by its own account."""
        url = self.model.url.removesuffix("/v1") + "/slots"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return any(slot["is_processing"] for slot in await answer.json())


@pytest.fixture
async def local() -> AsyncIterator[Recorded]:
    model = Recorded(await LocalModel.start())
    yield model
    await model.close()


async def test_the_story_with_a_real_model(
    serve: Serve, device: Callable[..., Device], local: Recorded
) -> None:
    running = await serve(local, grace_seconds=0.2, tools=())
    one = device(running.url)
    await one.connect()

    ack = await one.send("Say hello to Ada in one short sentence.")
    done = await one.done(ack["run_id"], MODEL_S)
    assert (done["status"], done["finish_reason"]) == ("completed", "stop")
    assert done["text"] == one.text(ack["run_id"]) != ""
    assert len(one.events("token", run_id=ack["run_id"])) > 1, "it streams"
    assert done["usage"]["output_tokens"] > 0
    assert done["usage"].get("estimated") is None

    second = await one.send("Write a very long story about the sea.")
    context = local.requests[1].context
    assert context[0] == UserText("Say hello to Ada in one short sentence.")
    assert context[1] == AssistantText(done["text"])
    await one.wait("token", run_id=second["run_id"])
    assert await local.working()
    stopped = await one.call("stop", {"run_id": second["run_id"]})
    assert (stopped["status"], stopped["upstream_closed"]) == ("cancelled", True)
    async with asyncio.timeout(10):
        while await local.working():
            await asyncio.sleep(0.02)
    cancelled = await one.done(second["run_id"])
    assert cancelled["text"] == one.text(second["run_id"]) != ""

    session_id = one.session["session_id"]
    await one.drop()
    log = running.server.log
    async with asyncio.timeout(60):
        while not ((row := await log.keeper.row(session_id)) and row.summary):
            await asyncio.sleep(0.1)
    assert row.summary_status == "done"
    assert row.duration_seconds


async def test_a_real_model_calls_the_analytics_tool(
    serve: Serve, device: Callable[..., Device], local: Recorded
) -> None:
    one = device((await serve(local)).url)
    await one.connect()
    ack = await one.send("fetch internal user analytics")
    done = await one.done(ack["run_id"], MODEL_S)
    completed = one.events("tool_call", run_id=ack["run_id"], status="completed")
    assert completed[0]["name"] == "fetch_internal_user_analytics"
    assert completed[0]["output"]["sessions_today"] == 1
    assert done["text"] == one.text(ack["run_id"])
    assert len(local.requests) >= 2

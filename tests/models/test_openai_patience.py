"""How long the OpenAI client waits, and that stopping ends its request."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web

from realtime.models import ModelError, Request, TextDelta, ToolSpec, UserText
from tests.models.asking import WEATHER, Make, ask, both, collect, whole
from tests.models.conftest import Upstream
from tests.models.payloads import Api, called, ended, said, sse

# -------------------------------------------------------------------- stopping


@both
async def test_closing_the_stream_closes_the_request(
    api: Api, make: Make, upstream: Upstream
) -> None:
    upstream.answer(*said(api, "Once"), end="wait")
    stream = make(upstream.url, api).stream(ask())
    assert await anext(stream) == [TextDelta("Once")]
    assert not upstream.gone.is_set()
    async with asyncio.timeout(10):
        await stream.aclose()
        await upstream.gone.wait()


@both
@pytest.mark.parametrize("started", [True, False])
async def test_cancelling_the_reader_closes_the_request(
    api: Api, started: bool, make: Make, upstream: Upstream
) -> None:
    waiting = asyncio.Event()

    async def script(request: Any) -> Any:
        waiting.set()
        await asyncio.Event().wait()

    model = make(upstream.url, api)
    if started:
        upstream.answer(*said(api, "Once"), end="wait")
    else:
        upstream.script = script

    async def read() -> None:
        async for _ in model.stream(ask()):
            waiting.set()

    task = asyncio.create_task(read())
    await asyncio.wait_for(waiting.wait(), 5)
    async with asyncio.timeout(10):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await upstream.gone.wait()


# -------------------------------------------------------------------- silence


@pytest.mark.parametrize(
    ("text", "tools", "patient"),
    [
        ("I look it up.", (WEATHER,), True),
        ("Ich sehe nach:", (WEATHER,), True),
        ("我查一下。", (WEATHER,), True),
        ("I look it", (WEATHER,), False),
        ("The sum of 1,", (WEATHER,), False),
        ("I look it up.", (), False),
    ],
)
async def test_behind_a_sentence_a_call_may_be_written_in_silence(
    text: str, tools: tuple[ToolSpec, ...], patient: bool, make: Make, upstream: Upstream
) -> None:
    go_on = asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in said("chat", text):
            await response.write(part)
        await go_on.wait()
        for part in called("chat", "weather", "{}"):
            await response.write(part)
        return response

    upstream.script = script
    model = make(upstream.url, "chat", stall_s=0.1, think_s=60)
    request = Request("", (UserText("hi"),), tools)
    answer = asyncio.create_task(collect(model, request))
    if patient:
        waited, _ = await asyncio.wait([answer], timeout=0.5)  # nothing may happen
        assert not waited
        go_on.set()
        assert whole(await answer)["calls"] == [("weather", "{}")]
    else:
        with pytest.raises(ModelError, match="in time"):
            await asyncio.wait_for(answer, 20)
        go_on.set()


async def test_a_call_that_is_under_way_may_take_its_time(make: Make, upstream: Upstream) -> None:
    upstream.answer(*said("chat", "I loo"), *called("chat", "f", '{"a', whole=False), end="wait")
    model = make(upstream.url, "chat", stall_s=0.1, think_s=0.1, first_byte_s=0.7)
    begun = time.monotonic()
    with pytest.raises(ModelError, match="in time"):
        await collect(model)
    assert time.monotonic() - begun > 0.6  # think_s is no shorter than first_byte_s


async def test_silence_is_no_stall_while_the_model_thinks(make: Make, upstream: Upstream) -> None:
    thinking = asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        begun = {"type": "response.output_item.added", "item": {"type": "reasoning"}}
        for part in (*said("responses", "Well. "), *sse(begun)):
            await response.write(part)
        await asyncio.sleep(1.6)  # several times the stall
        thinking.set()
        for part in (*said("responses", "Yes."), *ended("responses")):
            await response.write(part)
        return response

    upstream.script = script
    model = make(upstream.url, "responses", stall_s=0.2, think_s=20)
    assert whole(await collect(model))["text"] == "Well. Yes."
    assert thinking.is_set()

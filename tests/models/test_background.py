"""An answer that goes on at the provider when its connection breaks is taken up again there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from realtime.models.openai import OpenAIModel
from realtime.protocol import Usage
from tests.models.asking import ask, collect, fails, whole

WORDS = [f"word{number} 😀 " for number in range(12)]


class Provider:
    """Keeps one answer, and gives it from any event on. `breaks` are the places in it where
    a connection is reset, each once; None in it: nothing more comes and nobody says why."""

    def __init__(self, *breaks: int) -> None:
        self.url = ""
        self.breaks = list(breaks)
        self.asked: list[dict[str, Any]] = []
        self.resumed: list[int] = []
        self.cancelled = asyncio.Event()
        self.clean = False
        self.lost = False
        self.away = 0  # times
        usage = {"input_tokens": 9, "output_tokens": 24}
        events: list[dict[str, Any]] = [{"type": "response.created", "response": {"id": "resp_1"}}]
        events += [{"type": "response.output_text.delta", "delta": word} for word in WORDS]
        events += [{"type": "response.completed", "response": {"id": "resp_1", "usage": usage}}]
        self.events = [{**event, "sequence_number": at} for at, event in enumerate(events)]

    async def create(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        return await self.stream(request, 0)

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        if self.away:
            self.away -= 1
            return web.Response(status=503)
        if self.lost:
            return web.json_response({"error": {"code": "not_found_error"}}, status=404)
        assert request.match_info["id"] == "resp_1"
        assert request.query["stream"] == "true"
        self.resumed.append(int(request.query["starting_after"]))
        return await self.stream(request, self.resumed[-1] + 1)

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        self.cancelled.set()
        return web.json_response({"id": request.match_info["id"], "status": "cancelled"})

    async def stream(self, request: web.Request, start: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in self.events[start:]:
            data = b"data: %s\n\n" % json.dumps(event).encode()
            if self.breaks and self.breaks[0] == event["sequence_number"]:
                self.breaks.pop(0)
                await response.write(data[:-7])  # in the middle of an event
                if not self.clean:
                    assert request.transport is not None
                    request.transport.close()
                return response
            await response.write(data)
            await asyncio.sleep(0)
        return response


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_post("/v1/responses", provider.create)
    app.router.add_get("/v1/responses/{id}", provider.retrieve)
    app.router.add_post("/v1/responses/{id}/cancel", provider.cancel)
    async with TestServer(app, handler_cancellation=True) as server:
        provider.url = str(server.make_url("/v1"))
        yield provider


@pytest.fixture
async def model(provider: Provider) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel(
        api_key="k", base_url=provider.url, model="m", api="responses", background=True, stall_s=5
    )
    yield model
    await model.close()


@pytest.mark.parametrize("clean", [True, False])
async def test_every_cut_is_mended_without_a_second_bill(
    provider: Provider, model: OpenAIModel, clean: bool
) -> None:
    provider.breaks, provider.clean, provider.away = [1, 4, 5, 12, 13], clean, 1
    answer = whole(await collect(model))
    assert answer["text"] == "".join(WORDS)
    assert answer["finished"] == ["stop"]
    assert answer["usage"] == [Usage(9, 24)]
    assert provider.resumed == [0, 3, 4, 11, 12]
    assert [(body["background"], body["store"]) for body in provider.asked] == [(True, True)]
    assert not provider.cancelled.is_set()


async def test_stop_cancels_what_goes_on_there(provider: Provider, model: OpenAIModel) -> None:
    provider.events.insert(5, {"type": "response.in_progress", "sequence_number": 5})
    stream = model.stream(ask())
    await anext(stream)
    await stream.aclose()
    await asyncio.wait_for(provider.cancelled.wait(), 5)


async def test_an_answer_that_is_lost_there_broke_off(
    provider: Provider, model: OpenAIModel
) -> None:
    provider.breaks, provider.lost = [4], True
    events, error = await fails(model)
    assert error.kind == "cut"
    assert (whole(events)["text"], whole(events)["finished"]) == ("".join(WORDS[:3]), [])
    await asyncio.wait_for(provider.cancelled.wait(), 5)


async def test_an_answer_that_never_moves_on_is_given_up(
    provider: Provider, model: OpenAIModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.models.bookmark.PAUSES_S", (0.0, 0.0, 0.0))
    provider.breaks = [4] * 20
    events, error = await fails(model)
    assert (whole(events)["text"], error.kind) == ("".join(WORDS[:3]), "cut")
    assert provider.resumed == [3, 3, 3]
    await asyncio.wait_for(provider.cancelled.wait(), 5)

"""A provider that keeps its answers and goes on with them whoever listens (`background`)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.recorder import Recorder
from tests.support.world import World, world

SECRET_ID = "resp_of_the_provider"
USAGE = {"input_tokens": 9, "output_tokens": 24}
WORDS = [f"word{number} 😀 " for number in range(30)]


def said(words: list[str], index: int = 0) -> list[dict[str, Any]]:
    """One message item."""
    item = {"type": "message", "id": f"m{index}"}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": item},
        *(
            {"type": "response.output_text.delta", "output_index": index, "delta": word}
            for word in words
        ),
    ]


def thought(*parts: str) -> list[dict[str, Any]]:
    item = {"type": "reasoning", "id": "rs", "encrypted_content": "sealed", "summary": []}
    return [
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "id": "rs"}},
        *(
            {
                "type": "response.reasoning_summary_text.delta",
                "output_index": 0,
                "summary_index": place,
                "delta": part,
            }
            for place, part in enumerate(parts)
        ),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]


def call(name: str, index: int, arguments: str = '{"a": 1}') -> list[dict[str, Any]]:
    item = {"type": "function_call", "id": "fc", "call_id": "call_1", "name": name}
    half = {"type": "response.function_call_arguments.delta", "output_index": index}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": item},
        {**half, "delta": arguments[:4]},
        {**half, "delta": arguments[4:]},
        {
            "type": "response.output_item.done",
            "output_index": index,
            "item": {**item, "arguments": arguments},
        },
    ]


class Keeper:
    """A provider that goes on with its answers whoever listens. Of the newest there are `made`
    events so far. It takes nothing that the API does not allow."""

    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.kept: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[dict[str, Any]] = []
        self.read: list[int | None] = []
        self.cancelled: list[str] = []
        self.lost = False
        self.url = ""
        self._made = 0
        self._more = asyncio.Condition()

    async def make(self, count: int) -> None:
        """So many events of the newest answer are there now."""
        async with self._more:
            self._made = count
            self._more.notify_all()

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m"}]})

    async def create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if "Summarise" in str(body.get("instructions")):
            return web.Response(status=400)
        if not (body["background"] and body["store"] and body["stream"]):
            return web.json_response({"error": {"message": "not kept"}}, status=400)
        self.asked.append(body)
        name = SECRET_ID if len(self.asked) == 1 else f"{SECRET_ID}_{len(self.asked)}"
        done = {"id": name, "usage": USAGE, "output": []}
        events = [
            {"type": "response.created", "response": {"id": name}},
            *self.answers[min(len(self.asked), len(self.answers)) - 1],
            {"type": "response.completed", "response": done},
        ]
        self.kept[name] = [{**event, "sequence_number": at} for at, event in enumerate(events)]
        return await self._stream(request, name, 0)

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        name, after = request.match_info["id"], request.query.get("starting_after")
        if self.lost or name not in self.kept:
            return web.json_response({"error": {"message": "no such response"}}, status=404)
        if request.query.get("stream") != "true" or (after and int(after) < 0):
            return web.json_response({"error": {"message": "bad query"}}, status=400)
        self.read.append(None if after is None else int(after))
        return await self._stream(request, name, int(after) + 1 if after else 0)

    async def cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append(request.match_info["id"])
        return web.json_response({})

    async def _stream(self, request: web.Request, name: str, at: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in self.kept[name][at:]:
            async with self._more:
                while self._made <= event["sequence_number"]:
                    await self._more.wait()
            await response.write(b"data: %s\n\n" % json.dumps(event).encode())
        return response


@asynccontextmanager
async def providing(*answers: list[dict[str, Any]]) -> AsyncIterator[Keeper]:
    keeper, app = Keeper(*answers), web.Application()
    app.router.add_get("/v1/models", keeper.models)
    app.router.add_post("/v1/responses", keeper.create)
    app.router.add_get("/v1/responses/{id}", keeper.retrieve)
    app.router.add_post("/v1/responses/{id}/cancel", keeper.cancel)
    async with TestServer(app, handler_cancellation=True) as server:
        keeper.url = str(server.make_url("/v1"))
        yield keeper


@asynccontextmanager
async def keeping(
    folder: Path, *answers: list[dict[str, Any]], **environ: str
) -> AsyncIterator[tuple[World, Keeper]]:
    """A server in front of such a provider."""
    async with providing(*answers) as keeper:
        settings = {
            "OPENAI_BASE_URL": keeper.url,
            "OPENAI_MODEL": "m",
            "OPENAI_API": "responses",
            "OPENAI_BACKGROUND": "true",
            "CONTINUE_AUTOMATICALLY": "true",
            **environ,
        }
        async with world(folder, **settings) as scene:
            yield scene, keeper


def text(one: Recorder, kind: str = "text") -> str:
    """Put together, and nothing doubled: each delta begins where the last one ended."""
    whole = ""
    for token in one.events("token", kind=kind):
        assert token["offset"] == len(whole.encode("utf-16-le")) // 2
        whole += token["delta"]
    return whole


async def shows(one: Recorder, wanted: str, kind: str = "text") -> None:
    await one.until(lambda: text(one, kind).endswith(wanted) or None)


async def whole(
    keeper: Keeper, devices: Sequence[Recorder], run_id: str, first: list[str], second: list[str]
) -> None:
    """All devices have both parts of an answer with thoughts, asked and counted once, read three
    times; and none was told where the provider keeps it."""
    for device in devices:
        done = await device.done(run_id)
        assert done["status"] == "completed"
        assert done["text"] == text(device) == "".join(first) + "\n\n" + "".join(second)
        assert text(device, "reasoning") == "Hm. \n\nSo."
        assert done["usage"] == USAGE, "counted once"
        assert len(device.events("done")) == 1
    assert len(keeper.asked) == 1
    assert keeper.read == [None] * 3
    assert keeper.cancelled == []
    told = [[device.seen, device.pages, device.notices] for device in devices]
    assert SECRET_ID not in json.dumps(told)


def kept_rows(scene: World) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(scene.path)) as journal:
        return journal.execute(
            "SELECT seq, event_type FROM events WHERE CAST(provider_state AS TEXT) LIKE ?",
            [f"%{SECRET_ID}%"],
        ).fetchall()

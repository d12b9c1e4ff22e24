"""An upstream whose every byte is scripted, behind real HTTP, and models that ask it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from realtime.models.openai import OpenAIModel
from tests.models.asking import KEY, Make
from tests.models.payloads import Api

Script = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Upstream:
    """Answers each POST with `script`; `gone` is set when a client leaves during one."""

    def __init__(self) -> None:
        self.url = ""
        self.lists = False  # its models, whatever is scripted
        self.script: Script = self.refuse
        self.first: list[Script] = []  # played before `script`, one for each POST
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[int] = set()
        self.gone = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.lists and request.path.endswith("/models"):
            return web.json_response({"data": []})
        self.headers.append(dict(request.headers))
        self.connections.add(id(request.transport))
        self.bodies.append(await request.json() if request.can_read_body else {})
        try:
            return await (self.first.pop(0) if self.first else self.script)(request)
        except (asyncio.CancelledError, ConnectionError):
            self.gone.set()
            raise

    async def refuse(self, request: web.Request) -> web.StreamResponse:
        raise AssertionError("the test gave no script")

    def answer(self, *parts: bytes, end: str = "clean", kind: str = "text/event-stream") -> None:
        """Stream these parts, then end: `clean`, `reset`, or `wait` until the client goes."""

        async def script(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": kind})
            await response.prepare(request)
            for part in parts:
                await response.write(part)
                await asyncio.sleep(0)
            if end == "wait":
                await asyncio.Event().wait()
            if end == "reset":
                assert request.transport is not None
                request.transport.close()
            return response

        self.script = script

    def then(self) -> None:
        """What was scripted last is for one POST; another script follows."""
        self.first.append(self.script)

    def reply(self, status: int, body: Any, **headers: str) -> None:
        """Answer with this status; a body that is no text is sent as JSON."""

        async def script(request: web.Request) -> web.StreamResponse:
            text = body if isinstance(body, str) else json.dumps(body)
            kind = "text/html" if isinstance(body, str) else "application/json"
            return web.Response(status=status, text=text, content_type=kind, headers=headers)

        self.script = script


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    app = web.Application()
    app.router.add_route("*", "/v1/{path:.*}", upstream.handle)
    # So that an upstream handler learns at once that its client has gone.
    async with TestServer(app, handler_cancellation=True) as server:
        upstream.url = str(server.make_url("/v1"))
        yield upstream


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """`make(url, api)`: a model at this URL, closed at the end."""
    models: list[OpenAIModel] = []

    def make(url: str, api: Api = "chat", model: str = "gpt", **times: float) -> OpenAIModel:
        models.append(OpenAIModel(api_key=KEY, base_url=url, model=model, api=api, **times))
        return models[-1]

    yield make
    for model in models:
        await model.close()

"""A provider on real HTTP: it refuses what its rules refuse, and plays a plan otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.dialects.rules import Fault

Act = Literal[
    "say",
    "call",
    "calls",
    "odd calls",  # that nobody can make
    "call that lasts",  # beside one that does not
    "letter",  # a call that a person must approve
    "half a call",  # then the limit
    "length",  # half a text, then the limit
    "blank",  # white space only
    "wait",  # it begins, and says nothing
    "search",  # with a tool of the provider's
    "search that lasts",
    "draw",  # with a tool of the provider's
]
"""What the model does with a request."""

Event = bytes | dict[str, Any]


class Provider(Protocol):
    name: str
    model: str
    api: str

    def check(self, body: dict[str, Any]) -> Fault | None:
        """Why this request is refused."""
        ...

    def error(self, fault: Fault) -> Any:
        """The JSON of a refusal."""
        ...

    def play(self, act: Act, body: dict[str, Any]) -> Sequence[Event]:
        """The events of an answer; a dict is the JSON of one."""
        ...

    def lost(self, body: dict[str, Any]) -> list[str]:
        """What was given to be sent back, and is not in this request."""
        ...


class Upstream:
    """`plan` is what its next answers are, `failing` what it says to every request
    instead, once it has given `fails_after` more."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.url = ""
        self.plan: list[Act] = []
        self.failing: Fault | None = None
        self.fails_after = 0  # so many answers
        self.waits = asyncio.Event()
        self.bodies: list[dict[str, Any]] = []
        self.refused: list[Fault] = []
        self.lost: list[str] = []
        """What was given to be sent back, and was not in the last request."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"object": "list", "data": []})
        path = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
        assert request.path == path[self.provider.api]
        text = await request.read()
        assert request.content_length == len(text), "some take no body without its length"
        assert request.content_type == "application/json"
        body = json.loads(text)
        self.bodies.append(body)
        if self.failing and not self.fails_after:
            return self._refuse(self.failing)
        if fault := self.provider.check(body):
            self.refused.append(fault)
            return self._refuse(fault)
        self.lost = self.provider.lost(body)
        self.fails_after = max(0, self.fails_after - 1)
        act = self.plan.pop(0) if self.plan else "say"
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in self.provider.play(act, body):
            await response.write(event if isinstance(event, bytes) else data(event))
        if act in ("wait", "search that lasts"):
            self.waits.set()
            await asyncio.Event().wait()
        return response

    def _refuse(self, fault: Fault) -> web.Response:
        return web.json_response(self.provider.error(fault), status=fault.status)


def data(payload: Any) -> bytes:
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[Upstream]:
    upstream = Upstream(provider)
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/v1/{path:.*}", upstream.handle)
    # So that a handler learns at once that its client has gone.
    async with TestServer(app, handler_cancellation=True) as server:
        upstream.url = str(server.make_url("/v1"))
        yield upstream

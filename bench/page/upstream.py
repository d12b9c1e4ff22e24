"""A Chat Completions upstream that streams the texts of this benchmark.

`text=list rate=1000` in the newest user message is the text `list` at 1,000 tokens a second, of
four characters each; anything else is answered at once with a short text.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time

from aiohttp import web

from bench.page.texts import TEXTS

TOKEN = 4  # characters
PERIOD_S = 0.01
SHORT = "It is **so**, as `a` says:\n\n- one\n- two\n\n```python\nx = 1\n```\n"


async def completions(request: web.Request) -> web.StreamResponse:
    asked = (await request.json())["messages"][-1]["content"]
    found = re.search(r"text=(\w+) rate=(\d+)", str(asked))
    text, rate = (TEXTS[found[1]], int(found[2])) if found else (SHORT, 1_000_000)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # the server wants no more of it
        await stream(response, text, rate)
    return response


async def stream(response: web.StreamResponse, text: str, rate: int) -> None:
    begun, at = time.monotonic(), 0
    while at < len(text):
        until = int((time.monotonic() - begun + PERIOD_S) * rate) * TOKEN
        for place in range(at, min(until, len(text)), TOKEN):
            await response.write(event({"content": text[place : place + TOKEN]}))
        at = until
        await asyncio.sleep(PERIOD_S)
    await response.write(event({}, "stop") + b"data: [DONE]\n\n")


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode()


async def models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "bench", "object": "model"}]})


def application() -> web.Application:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", completions)
    app.router.add_get("/v1/models", models)
    return app

"""What becomes of streams as servers really send them: the text, the calls, the end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from types import ModuleType

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from realtime.models.openai import OpenAIModel
from realtime.tools import tool
from tests.dialects.chat_streams import CHAT, delta
from tests.dialects.responses_streams import RESPONSES, completed, said
from tests.dialects.streams import DONE, Odd
from tests.support.device import Device
from tests.support.serving import Serve

AFTERWARDS = {
    "chat": (delta("stop", content="Done."), DONE),
    "responses": (said("Done."), completed()),
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that the model had deleted, by the tool of the module `recorder`."""
    folders: list[str] = []

    async def delete_files(folder: str = "") -> str:
        """Delete the files in a folder."""
        folders.append(folder)
        return "deleted"

    module = ModuleType("recorder")
    module.delete_files = tool(delete_files)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "recorder", module)
    return folders


class Server:
    """Says the parts of one stream, and after a tool's result that it is done."""

    def __init__(self) -> None:
        self.url = ""
        self.odd = CHAT[0]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        answered = any(
            item.get("role") == "tool" or item.get("type") == "function_call_output"
            for item in body.get("messages") or body["input"]
        )
        response = web.StreamResponse(headers={"Content-Type": self.odd.content_type})
        await response.prepare(request)
        for part in AFTERWARDS[self.odd.api] if answered else self.odd.parts:
            await response.write(part)
        if self.odd.stays and not answered:
            await asyncio.Event().wait()
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_post("/v1/{path:.*}", server.handle)
    async with TestServer(app, handler_cancellation=True) as site:
        server.url = str(site.make_url("/v1"))
        yield server


@pytest.mark.parametrize("odd", [*CHAT, *RESPONSES], ids=lambda odd: f"{odd.api}, {odd.name}")
async def test_what_a_stream_comes_to(
    serve: Serve,
    device: Callable[..., Device],
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    made: list[str],
    odd: Odd,
) -> None:
    monkeypatch.setattr("realtime.runs.chain.PAUSE_S", 0.01)
    server.odd = odd
    model = OpenAIModel(api_key="sk-test", base_url=server.url, model="some-model", api=odd.api)
    one = device((await serve(model, tools=("recorder",))).url)
    await one.connect()

    run_id = (await one.send("Good morning."))["run_id"]
    done = await one.done(run_id, seconds=10)

    assert sorted(made) == sorted(odd.calls)
    assert done["text"].strip() == one.text(run_id).strip() == odd.text
    assert one.text(run_id, "reasoning").strip() == odd.reasoning
    assert done["status"] in odd.status
    if odd.reason:
        assert done["finish_reason"] == odd.reason
    await model.close()

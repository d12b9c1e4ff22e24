"""The examples of docs/extend.md, each as it stands there."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from realtime.build.providers import make_chain
from realtime.config import Settings
from realtime.core.usage import Meter
from realtime.models import Request, UserText
from realtime.runs.chain import ask
from tests.support.fetch import fetch
from tests.support.page import example
from tests.support.process import SECRET, realtime
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve
from tests.wire.people import Devices


async def test_who_asks(
    serve: Serve, device: Devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("Who asks", tmp_path, monkeypatch)
    running = await serve(auth="my_auth.authenticate")
    assert (await device(running.url, token="token-of-ada").connect())["you"] == "ada"
    assert (await fetch(f"{running.url}/api/sessions", Cookie="login=token-of-ada")).status == 200
    refused = await device(running.url, token="token-of-eve").connect()
    assert refused["error"]["code"] == "unauthorized"


async def test_lifespan(
    serve: Serve,
    device: Devices,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    aiohttp_server: Any,
) -> None:
    async def order(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.match_info['id']} is on its way")

    async def customer(request: web.Request) -> web.Response:
        return web.Response(text=f"You speak with {request.match_info['id']}.")

    shop = web.Application()
    shop.router.add_get("/orders/{id}", order)
    shop.router.add_get("/customers/{id}", customer)
    monkeypatch.setenv("SHOP_URL", str((await aiohttp_server(shop)).make_url("/")))
    example("lifespan", tmp_path, monkeypatch)
    model = ScriptedModel(asks(("order_status", '{"order_id": 7}')), says("soon"))
    running = await serve(model, extensions=("my_shop", "my_chat:Chat"), tools=("my_shop",))
    one = device(running.url)
    you = (await one.connect())["you"]
    await one.ask("where is it?")
    assert one.events("tool_call", status="completed")[0]["output"] == "7 is on its way"
    assert model.requests[0].instructions.endswith(f"\n\nYou speak with {you}.")


async def test_an_extension_in_an_application_of_ones_own(
    device: Devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aiohttp_server: Any
) -> None:
    for title in ("Who asks", "lifespan", "Your own model", "An extension"):
        example(title, tmp_path, monkeypatch)
    monkeypatch.setenv("SHOP_URL", "http://localhost:9")
    monkeypatch.setenv("DATABASE_PATH", str(tmp_path / "journal.db"))
    monkeypatch.setenv("AUTH_SECRET", SECRET)
    server = await aiohttp_server(importlib.import_module("my_site").site())
    one = device(str(server.make_url("/")).rstrip("/"), token="token-of-ada")
    await one.connect(socketio_path="ai/socket.io")
    assert (await one.ask("hello"))["text"] == "hello squawk "


async def test_instructions(
    serve: Serve, device: Devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("Who asks", tmp_path, monkeypatch)
    example("instructions", tmp_path, monkeypatch)
    model = ScriptedModel(says("hello"))
    running = await serve(model, extensions=("my_instructions",), auth="my_auth.authenticate")
    one = device(running.url, token="token-of-ada")
    await one.connect()
    await one.ask("hello")
    assert model.requests[0].instructions.endswith("You speak with Ada, whose plan is pro.")


async def test_limits(
    serve: Serve, device: Devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("limits", tmp_path, monkeypatch)
    running = await serve(ScriptedModel(says("hello")), extensions=("my_plans",))
    one = device(running.url)
    await one.connect()
    refused = (await one.send("hello"))["error"]
    assert refused["message"] == "scripted may not answer you; you may use: demo"


async def test_before_message(
    serve: Serve, device: Devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("before_message", tmp_path, monkeypatch)
    running = await serve(extensions=("my_moderation",))
    one = device(running.url)
    await one.connect()
    refused = (await one.send("my password is x"))["error"]
    assert refused["message"] == "Please do not send passwords."
    await one.ask("take 4111 1111 1111 1111, please")
    assert one.events("user_message")[0]["text"] == "take [card number], please"


async def test_on_event(
    serve: Serve, device: Devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("on_event", tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    running = await serve(ScriptedModel(says("hello")), extensions=("my_usage",))
    one = device(running.url)
    you = (await one.connect())["you"]
    done = await one.ask("hello")
    await one.drop()
    await running.stop()
    (line,) = (tmp_path / "answers.jsonl").read_text().splitlines()
    row = {"id": [one.session["session_id"], done["seq"]], "user": you, "status": "completed"}
    assert json.loads(line) == {**row, "tokens": 1}


async def test_your_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example("Your own model", tmp_path, monkeypatch)
    settings = Settings.load(
        {"MODEL": "my_models:Parrot", "PARROT_WORD": "hello", "PORT": "0"}, None
    )
    chain = await make_chain(settings)
    assert await ask(chain.begin(), Request("", (UserText("a b"),)), Meter({})) == "a b hello"
    code, told = await realtime("--check", cwd=tmp_path, MODEL="my_models:Parrot")
    assert (code, "ok    model parrot on this machine, which answers" in told) == (0, True), told


async def test_filter_what_a_model_says(
    serve: Serve,
    device: Devices,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    aiohttp_server: Any,
) -> None:
    """However the text is cut."""
    said = "Pay 4111 1111 1111 1111 or 4222222222222222, not 4111 1111, by 2027."
    sizes = [1, 3, 7, len(said)]

    async def complete(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        size = sizes.pop()
        for at in range(0, len(said), size):
            piece = {"choices": [{"delta": {"content": said[at : at + size]}}]}
            await response.write(b"data: %s\n\n" % json.dumps(piece).encode())
        end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        await response.write(b"data: %s\n\ndata: [DONE]\n\n" % json.dumps(end).encode())
        return response

    provider = web.Application()
    provider.router.add_post("/v1/chat/completions", complete)
    url = str((await aiohttp_server(provider)).make_url("/v1"))
    example("Filter what a model says", tmp_path, monkeypatch)
    environ = {"MODEL": "my_redaction:Redacted", "LLM_KEY": "none", "LLM_URL": url}
    chain = await make_chain(Settings.load(environ, None))
    running = await serve(chain)
    one = device(running.url)
    await one.connect()
    while sizes:
        done = await one.ask("how do I pay?")
        assert done["text"] == "Pay [card] or [card], not 4111 1111, by 2027."
    assert "4111 1111 1111" not in str(one.record)
    await chain.close()


async def test_webhooks(
    serve: Serve,
    device: Devices,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    aiohttp_server: Any,
) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    example("Webhooks", tmp_path, monkeypatch)
    receiver = importlib.import_module("my_receiver")
    url = str((await aiohttp_server(receiver.app)).make_url("/hooks"))
    running = await serve(ScriptedModel(says("hello")), webhook_url=url, webhook_secret=secret)
    one = device(running.url)
    you = (await one.connect())["you"]
    await one.ask("hello")
    await one.drop()
    await running.stop()
    assert list(receiver.SEEN.values()) == [f"{you}: completed"]

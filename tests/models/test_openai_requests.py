"""What the OpenAI client asks for, and where."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from realtime.models import AssistantText, ModelError, Request, Thought, UserText
from realtime.models.openai import OpenAIModel
from realtime.protocol import Options
from tests.models.asking import KEY, WEATHER, Make, collect, fails, whole
from tests.models.conftest import Upstream
from tests.models.payloads import Api, ended, said, sse

SSE = "text/event-stream"
OPTIONS = Options(temperature=0.5, max_output_tokens=99, reasoning_effort="low")


async def sent(api: Api, make: Make, upstream: Upstream, **more: Any) -> dict[str, Any]:
    upstream.answer(*said(api, "a"), *ended(api))
    request = Request("Be kind.", (UserText("hi"),), (WEATHER,), OPTIONS)
    await collect(make(upstream.url, api, **more), request)
    return upstream.bodies[-1]


async def test_the_options_go_with_a_request(make: Make, upstream: Upstream) -> None:
    body = await sent("chat", make, upstream)
    assert (body["temperature"], body["max_tokens"], body["reasoning_effort"]) == (0.5, 99, "low")
    body = await sent("responses", make, upstream)
    assert (body["temperature"], body["max_output_tokens"]) == (0.5, 99)
    assert (body["reasoning"], body["store"]) == ({"effort": "low"}, False)
    assert "include" not in body
    body = await sent("responses", make, upstream, extras=True)
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    body = await sent("responses", make, upstream, extras=True, show_reasoning=False)
    assert body["reasoning"] == {"effort": "low"}
    for api in ("chat", "responses"):
        body = await sent(api, make, upstream, options={"top_k": 40})  # unknown to the client
        assert body["top_k"] == 40


async def test_what_a_model_does_not_take_is_left_out_from_then_on(
    make: Make, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    for param in ("include", "temperature", "reasoning.summary"):
        upstream.reply(400, {"error": {"type": "invalid_request_error", "param": param}})
        upstream.then()
    upstream.answer(*said("responses", "a"), *ended("responses"))
    model = make(upstream.url, "responses", extras=True)
    request = Request("", (UserText("hi"),), (WEATHER,), OPTIONS)
    for asked in (4, 5):
        assert whole(await collect(model, request))["text"] == "a"
        assert len(upstream.bodies) == asked
    assert upstream.bodies[-1]["reasoning"] == {"effort": "low"}
    assert not {"include", "temperature"} & set(upstream.bodies[-1])
    assert caplog.text.count("leaving it out") == 3


async def test_requests_that_were_under_way_are_asked_again_too(
    make: Make, upstream: Upstream
) -> None:
    both_there = asyncio.Barrier(2)

    async def script(request: web.Request) -> web.StreamResponse:
        if "temperature" not in await request.json():
            return web.Response(
                body=b"".join([*said("chat", "a"), *ended("chat")]), content_type=SSE
            )
        await both_there.wait()
        error = {"type": "invalid_request_error", "param": "temperature"}
        return web.json_response({"error": error}, status=400)

    upstream.script = script
    model = make(upstream.url, "chat")
    request = Request("", (UserText("hi"),), (), OPTIONS)
    answers = await asyncio.gather(*(collect(model, request) for _ in range(2)))
    assert [whole(answer)["text"] for answer in answers] == ["a", "a"]
    assert len(upstream.bodies) == 4


async def test_what_it_cannot_do_without_is_refused(make: Make, upstream: Upstream) -> None:
    upstream.reply(400, {"error": {"type": "invalid_request_error", "param": "model"}})
    assert (await fails(make(upstream.url, "responses")))[1].kind == "bad_request"
    assert len(upstream.bodies) == 1


async def test_reasoning_items_go_back_as_they_came(make: Make, upstream: Upstream) -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item | {"status": None}}
    open_only = {**done, "item": item | {"encrypted_content": None}}
    upstream.answer(*sse(done, open_only), *said("responses", "a"), *ended("responses"))
    model = make(upstream.url, "responses")
    events = await collect(model)
    thoughts = [event for event in events if isinstance(event, Thought)]
    assert thoughts == [Thought(item)]
    own = [replace(thought, by=model.label) for thought in thoughts]
    for given in (own, thoughts):
        context = (UserText("hi"), *given, AssistantText("a"), UserText("more"))
        await collect(model, Request("", context, ()))
    _, theirs, nobodys = [body["input"] for body in upstream.bodies]
    assert theirs[1] == item
    assert item not in nobodys, "another model could not read it"


async def test_the_label_names_the_host_and_never_the_key(make: Make) -> None:
    model = make("https://user:pass@api.example.org/v1")
    assert model.label == "gpt at api.example.org (chat)"
    assert model.name == "gpt"


async def test_the_environment_does_not_redirect(
    monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    looked_up: set[tuple[str, int]] = set()

    def nowhere(host: str, port: int, *rest: Any, **more: Any) -> Any:
        looked_up.add((host, port))
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    model = OpenAIModel(api_key=KEY, base_url=None, model="gpt", api="responses")
    assert model.label == "gpt at api.openai.com (responses)"
    with pytest.raises(ModelError):
        await model.check()
    assert looked_up == {("api.openai.com", 443)}
    assert not upstream.headers
    await model.close()

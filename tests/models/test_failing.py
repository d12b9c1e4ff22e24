"""Every way a provider fails, on both APIs: what the user is told, how often it was asked, what
is billed. The whole server before scripted bytes. docs/failures.md is this table in words."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from realtime.build.providers import make_chain
from realtime.config import ConfigError, Settings
from realtime.models.openai import OpenAIModel
from realtime.runs import chain as chain_module
from realtime.runs.chain import Chain, Link
from tests.models.conftest import Upstream
from tests.models.payloads import Api, called, counted, cut_short, said, sse
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Running, Serve

KEY = "sk-test-do-not-leak"
SECRET = "my private question"
Devices = Callable[..., Device]
Script = Callable[[Upstream, Api], None]
both = pytest.mark.parametrize("api", ["chat", "responses"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, upstream: Upstream) -> None:
    upstream.lists = True
    monkeypatch.setattr(chain_module, "PAUSE_S", 0.01)


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., OpenAIModel]]:
    models: list[OpenAIModel] = []

    def make(url: str, api: Api, name: str = "first", **more: Any) -> OpenAIModel:
        more = {"first_byte_s": 10, **more}
        models.append(OpenAIModel(api_key=KEY, base_url=url, model=name, api=api, **more))
        return models[-1]

    yield make
    for model in models:
        await model.close()


class Case:
    """One run, and all that came of it."""

    def __init__(self, device: Device, done: dict[str, Any]) -> None:
        self.done = done
        self.run_id = done["run_id"]
        self.statuses = [
            (event["status"], event.get("reason"))
            for event in device.events("run", run_id=self.run_id)
        ]
        self.shown = str(device.record)


async def play(running: Running, device: Devices) -> Case:
    one = device(running.url)
    await one.connect()
    ack = await one.send(SECRET)
    return Case(one, await one.done(ack["run_id"]))


def error(status: int, code: str, **headers: str) -> Script:
    body = {"error": {"message": f"{KEY} {SECRET}", "code": code, "type": code}}
    return lambda upstream, api: upstream.reply(status, body, **headers)


def html(status: int) -> Script:
    return lambda upstream, api: upstream.reply(status, "<h1>Bad gateway</h1>")


def speaks(*more: bytes, end: str = "clean") -> Script:
    return lambda upstream, api: upstream.answer(*said(api, "Once ", "upon"), *more, end=end)


def silent(upstream: Upstream, api: Api) -> None:
    upstream.answer(end="wait")


def reset(upstream: Upstream, api: Api) -> None:
    upstream.answer(end="reset")


def empty(upstream: Upstream, api: Api) -> None:
    upstream.answer()


def in_a_string(upstream: Upstream, api: Api) -> None:
    *_, last = said(api, "lost")
    upstream.answer(*said(api, "Once ", "upon"), last[:-9])


def in_an_emoji(upstream: Upstream, api: Api) -> None:
    (half,) = said(api, "@")
    upstream.answer(*said(api, "Once ", "upon"), half.replace(b"@", b"\\ud83d"))


def trickles(upstream: Upstream, api: Api) -> None:
    async def script(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"".join(said(api, "Once ", "upon")))
        while True:
            await response.write(b": still here\n\n")
            await asyncio.sleep(0.1)

    upstream.script = script


def ends(reason: str) -> Script:
    return lambda upstream, api: upstream.answer(
        *said(api, "Once ", "upon"), *cut_short(api, reason)
    )


def payload(code: str) -> Script:
    """An error inside of the stream, after some text."""

    def play(upstream: Upstream, api: Api) -> None:
        fields = {"message": f"{KEY} {SECRET}", "code": code}
        wrong = {"error": fields} if api == "chat" else {"type": "error", **fields}
        upstream.answer(*said(api, "Once ", "upon"), *sse(wrong))

    return play


ONCE = "Once upon"
BUSY, AWAY = "model_rate_limited", "model_unavailable"

# what the provider does: (status, error code, text, times asked, whether tokens are billed)
TABLE: dict[str, tuple[Script, tuple[str, str | None, str, int, bool]]] = {
    **{
        f"429 {code}": (error(429, code), ("quota_exceeded", "quota_exceeded", "", 1, False))
        for code in (
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
        )
    },
    "429": (error(429, "rate_limit_exceeded"), ("failed", BUSY, "", 4, False)),
    "429, in 600 s": (
        error(429, "slow_down", **{"Retry-After": "600"}),
        ("failed", BUSY, "", 1, False),
    ),
    "429, at a late date": (
        error(429, "slow_down", **{"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}),
        ("failed", BUSY, "", 1, False),
    ),
    "429, at once": (
        error(429, "slow_down", **{"Retry-After": "0"}),
        ("failed", BUSY, "", 4, False),
    ),
    "401": (error(401, "invalid_api_key"), ("failed", "model_unauthorized", "", 1, False)),
    "403": (html(403), ("failed", "model_unauthorized", "", 1, False)),
    "404": (error(404, "model_not_found"), ("failed", "model_not_found", "", 1, False)),
    "400": (error(400, "invalid_prompt"), ("failed", "model_bad_request", "", 1, False)),
    "400 overflow": (
        error(400, "context_length_exceeded"),
        ("failed", "model_context_overflow", "", 1, False),
    ),
    "500": (error(500, "server_error"), ("failed", AWAY, "", 4, False)),
    "502 in HTML": (html(502), ("failed", AWAY, "", 4, False)),
    "nothing": (silent, ("failed", "model_timeout", "", 4, True)),
    "reset": (reset, ("interrupted", "interrupted", "", 4, True)),
    "an empty stream": (empty, ("interrupted", "interrupted", "", 4, True)),
    "200 in HTML": (html(200), ("failed", "model_malformed", "", 1, False)),
    "200 in JSON": (
        lambda upstream, api: upstream.reply(200, {"choices": [], "output": []}),
        ("failed", "model_malformed", "", 1, False),
    ),
    "a stall": (speaks(end="wait"), ("interrupted", "interrupted", ONCE, 1, True)),
    "a trickle": (trickles, ("interrupted", "interrupted", ONCE, 1, True)),
    "a clean cut": (speaks(), ("interrupted", "interrupted", ONCE, 1, True)),
    "a reset in the middle": (
        speaks(end="reset"),
        ("interrupted", "interrupted", ONCE, 1, True),
    ),
    "a cut in a string": (in_a_string, ("interrupted", "interrupted", ONCE, 1, True)),
    "a cut in an emoji": (in_an_emoji, ("interrupted", "interrupted", f"{ONCE}\ufffd", 1, True)),
    "a malformed event": (
        speaks(b"data: {nonsense\n\n"),
        ("interrupted", "interrupted", ONCE, 1, True),
    ),
    "quota in the middle": (
        payload("insufficient_quota"),
        ("quota_exceeded", "quota_exceeded", ONCE, 1, True),
    ),
    "server_error in the middle": (
        payload("server_error"),
        ("interrupted", "interrupted", ONCE, 1, True),
    ),
    "length": (ends("length"), ("incomplete", None, ONCE, 1, True)),
    "content_filter": (ends("content_filter"), ("incomplete", None, ONCE, 1, True)),
}

SHORT = {
    "nothing": {"first_byte_s": 0.15},
    "a stall": {"stall_s": 0.15},
    "a trickle": {"total_s": 1},
}


@both
@pytest.mark.parametrize("what", TABLE)
async def test_it_ends_honestly(
    api: Api,
    what: str,
    serve: Serve,
    device: Devices,
    upstream: Upstream,
    make: Callable[..., OpenAIModel],
    caplog: pytest.LogCaptureFixture,
) -> None:
    script, (status, code, text, asked, billed) = TABLE[what]
    script(upstream, api)
    caplog.set_level(logging.INFO)
    model = make(upstream.url, api, **SHORT.get(what, {}))
    case = await play(await serve(model), device)
    done = case.done
    assert (done["status"], done.get("error", {}).get("code")) == (status, code)
    assert done["text"] == text
    assert len(upstream.bodies) == asked
    assert case.statuses.count(("resumed", None)) == asked - 1, "each retry is told"
    assert bool(done["usage"]["input_tokens"]) == billed
    assert bool(done["usage"].get("estimated")) == billed
    assert bool(done["usage"]["output_tokens"]) == bool(text)
    assert KEY not in case.shown + caplog.text
    assert SECRET not in caplog.text
    assert "provider" not in done.get("error", {}).get("message", ""), "the operator's words"
    if status not in ("incomplete",) and what != "400":
        assert f"{model.label}: The " in caplog.text, "the operator reads what it was"


@pytest.mark.parametrize("what", ["refused", "dns", "tls"])
async def test_nobody_there(
    what: str, serve: Serve, device: Devices, upstream: Upstream, make: Callable[..., OpenAIModel]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    urls = {"refused": nobody, "dns": "http://name.invalid/v1"}
    urls["tls"] = upstream.url.replace("http://", "https://")
    model = make(urls[what], "chat", first_byte_s=5)
    case = await play(await serve(model), device)
    assert (case.done["status"], case.done["error"]["code"]) == ("failed", AWAY)
    assert [status for status, _ in case.statuses] == ["started"] + ["waiting", "resumed"] * 3


@both
async def test_a_busy_provider_is_asked_again_when_it_said(
    api: Api, serve: Serve, device: Devices, upstream: Upstream, make: Callable[..., OpenAIModel]
) -> None:
    error(429, "slow_down", **{"Retry-After": "0.25"})(upstream, api)
    upstream.then()
    upstream.answer(*said(api, "Here ", "I am."), *counted(api, 7, 4))
    one = device((await serve(make(upstream.url, api))).url)
    await one.connect()
    done = await one.done((await one.send("hi"))["run_id"])
    assert (done["status"], done["text"]) == ("completed", "Here I am.")
    assert done["usage"] == {"input_tokens": 7, "output_tokens": 4}
    (waiting,) = one.events("run", status="waiting")
    assert (waiting["reason"], waiting["retry_in_ms"]) == ("rate_limited", 250)
    (resumed,) = one.events("run", status="resumed")
    assert resumed["ts"] - waiting["ts"] >= 240


async def test_stop_while_waiting_works_at_once(
    serve: Serve, device: Devices, upstream: Upstream, make: Callable[..., OpenAIModel]
) -> None:
    error(429, "slow_down", **{"Retry-After": "15"})(upstream, "chat")
    one = device((await serve(make(upstream.url, "chat"))).url)
    await one.connect()
    ack = await one.send("hi")
    await one.wait("run", status="waiting")
    stopped = await one.call("stop")
    assert (stopped["status"], stopped["upstream_closed"]) == ("cancelled", True)
    done = await one.done(ack["run_id"])
    assert (done["status"], done["usage"]) == ("cancelled", {"input_tokens": 0, "output_tokens": 0})
    assert len(upstream.bodies) == 1


FALLS = [
    *("429 insufficient_quota", "429", "429, in 600 s", "401", "404", "500", "nothing", "reset"),
    *("200 in HTML", "a stall", "a clean cut", "a cut in a string", "a cut in an emoji"),
    *("a malformed event", "quota in the middle", "server_error in the middle"),
]


@both
@pytest.mark.parametrize("what", FALLS)
async def test_a_fallback_answers_in_its_place(
    api: Api,
    what: str,
    serve: Serve,
    device: Devices,
    upstream: Upstream,
    make: Callable[..., OpenAIModel],
) -> None:
    script, (_, _, text, asked, billed) = TABLE[what]
    script(upstream, api)
    second = ScriptedModel(says("A whole ", "answer."))
    second.name = "second"
    first = make(upstream.url, api, **SHORT.get(what, {}))
    chain = Chain([Link(first, "a")], [Link(second, "b")])
    one = device((await serve(chain)).url)
    await one.connect()
    done = await one.done((await one.send("hi"))["run_id"])
    assert (done["status"], done["text"]) == ("completed", "A whole answer.")
    assert (done["model"], len(upstream.bodies)) == ("second", asked)
    (fallback,) = one.events("run", status="fallback")
    assert (fallback["from_model"], fallback["model"]) == ("first", "second")
    assert fallback["reset_to"] == 0
    assert re.fullmatch("[a-z_]+", fallback["reason"])
    assert bool(done["usage"].get("estimated")) == billed, "what the first one did counts, too"
    before = [token for token in one.events("token") if token["seq"] < fallback["seq"]]
    assert "".join(token["delta"] for token in before) == text.rstrip("\ufffd")


async def test_one_good_key_is_enough_to_start(
    serve: Serve,
    device: Devices,
    upstream: Upstream,
    make: Callable[..., OpenAIModel],
    caplog: pytest.LogCaptureFixture,
) -> None:
    upstream.lists = False
    upstream.reply(401, {"error": {"code": "invalid_api_key"}})
    refused = Link(make(upstream.url, "chat"), "a")
    good = ScriptedModel(says("Hello."))
    for chain in (Chain([refused], [Link(good, "b")]), Chain([Link(good, "b")], [refused])):
        running = await serve(chain)
        one = device(running.url)
        assert f"the key of {refused.model.label} is refused: The provider" in caplog.text
        await one.connect()
        assert (await one.done((await one.send("hi"))["run_id"]))["text"] == "Hello."
        await running.stop()
        caplog.clear()
    with pytest.raises(ConfigError, match=r"the key of first at .* is refused"):
        await serve(Chain([refused, Link(good, "b")]))


async def test_nothing_is_taken_back_before_the_fallback_speaks(
    serve: Serve, device: Devices, upstream: Upstream, make: Callable[..., OpenAIModel]
) -> None:
    speaks()(upstream, "chat")
    second = make("http://name.invalid/v1", "chat", "second")
    chain = Chain([Link(make(upstream.url, "chat"), "a")], [Link(second, "b")])
    case = await play(await serve(chain), device)
    assert (case.done["status"], case.done["text"]) == ("interrupted", ONCE)
    assert case.done["model"] == "first", "whose text it is"
    assert "fallback" not in [status for status, _ in case.statuses]


@both
async def test_a_step_falls_back_and_the_tools_of_the_others_stay_done(
    api: Api, serve: Serve, device: Devices, upstream: Upstream, make: Callable[..., OpenAIModel]
) -> None:
    tool = "fetch_internal_user_analytics"
    upstream.answer(*said(api, "Look: "), *called(api, tool, '{"query": "today"}'))
    upstream.then()
    upstream.answer(*called(api, tool, "", whole=False, id="c2"), end="reset")
    second = ScriptedModel(says("done."))
    second.name = "second"
    chain = Chain([Link(make(upstream.url, api), "a")], [Link(second, "b")])
    running = await serve(chain)
    one = device(running.url)
    session = await one.connect()
    done = await one.done((await one.send("hi"))["run_id"])
    assert (done["status"], done["text"], done["model"]) == (
        "completed",
        "Look: \n\ndone.",
        "second",
    )
    calls = {event["tool_call_id"]: event["status"] for event in one.events("tool_call")}
    assert list(calls.values()) == ["completed", "streaming"]
    (fallback,) = one.events("run", status="fallback")
    assert fallback["reset_to"] == len("Look: ")
    asked = second.requests[0].context
    assert [type(item).__name__ for item in asked] == [
        *("UserText", "AssistantText", "ToolRequest", "ToolResult")
    ]
    async with running.server.hub.hold(session["session_id"]) as actor:
        answer = actor.session.started[0].answer
        assert list(answer.calls) == [next(iter(calls))], "the call that never closed is void"


async def test_others_are_answered_at_once_while_the_quota_is_used_up(
    serve: Serve, device: Devices, upstream: Upstream, make: Callable[..., OpenAIModel]
) -> None:
    error(429, "insufficient_quota")(upstream, "chat")
    second = ScriptedModel(says("hi"))
    second.name = "second"
    chain = Chain([Link(make(upstream.url, "chat"), "a")], [Link(second, "b")])
    running = await serve(chain)
    for _ in range(3):
        one = device(running.url)
        await one.connect()
        done = await one.done((await one.send("hi"))["run_id"])
        assert (done["status"], done["model"]) == ("completed", "second")
        (fallback,) = one.events("run", status="fallback")
        assert fallback["reason"] == "quota"
    assert len(upstream.bodies) == 1, "only the first one asked"
    state = (await fetch(f"{running.url}/readyz")).json()
    first = next(model for model in state["models"] if model["model"] == "first")
    assert (first["state"], first["reason"]) == ("open", "quota")


async def test_the_oldest_half_is_left_out_where_the_context_overflows(
    serve: Serve, device: Devices, upstream: Upstream, make: Callable[..., OpenAIModel]
) -> None:
    one = device((await serve(make(upstream.url, "chat"))).url)
    await one.connect()
    for number in range(4):
        upstream.answer(*said("chat", f"answer {number}"), *counted("chat", 1, 1))
        await one.done((await one.send(f"question {number}"))["run_id"])
    error(400, "context_length_exceeded")(upstream, "chat")
    upstream.then()
    upstream.then()
    upstream.answer(*said("chat", "fits"), *counted("chat", 1, 1))
    done = await one.done((await one.send("question 4"))["run_id"])
    assert (done["status"], done["text"]) == ("completed", "fits")
    asked = [
        [message["content"] for message in body["messages"] if message["role"] == "user"]
        for body in upstream.bodies[-3:]
    ]
    assert asked == [
        [f"question {number}" for number in range(5)],
        ["question 3", "question 4"],
        ["question 4"],
    ]


async def test_each_server_gets_its_own_key(
    serve: Serve, device: Devices, upstream: Upstream
) -> None:
    error(500, "server_error")(upstream, "chat")
    upstream.then()
    upstream.then()
    upstream.then()
    upstream.then()
    error(401, "invalid_api_key")(upstream, "chat")
    upstream.then()
    upstream.answer(*said("chat", "hi"), *counted("chat", 1, 1))
    chain = await make_chain(
        Settings.load(
            {
                "OPENAI_API_KEY": "sk-one",
                "OPENAI_BASE_URL": upstream.url,
                "OPENAI_MODEL": "one",
                "KEY_TWO": "sk-two",
                "FALLBACKS": f"two@{upstream.url} key=KEY_TWO, three@{upstream.url}",
            },
            None,
        )
    )
    case = await play(await serve(chain), device)
    assert (case.done["status"], case.done["model"]) == ("completed", "three")
    asked = [
        (body["model"], headers["Authorization"])
        for body, headers in zip(upstream.bodies, upstream.headers, strict=True)
    ]
    assert asked == [("one", "Bearer sk-one")] * 4 + [
        ("two", "Bearer sk-two"),
        ("three", "Bearer none"),
    ]
    await chain.close()

"""The whole way over real HTTP: against aimock, and against scripted bytes."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState

from realtime.build.providers import make_chain
from realtime.config import Settings
from realtime.models import (
    AssistantText,
    Finished,
    ModelError,
    ModelEvent,
    Request,
    TextDelta,
    Thought,
    ToolCallReady,
    ToolCallStarted,
    ToolSpec,
    UserText,
)
from realtime.models.openai import OpenAIModel
from realtime.protocol import Options, Usage
from tests.models.conftest import Upstream
from tests.models.payloads import Api, called, delta, ended, said, sse
from tests.support.aimock import aimock, journal

KEY = "sk-test-do-not-leak"
SECRET = "my private question"
Make = Callable[..., OpenAIModel]
both = pytest.mark.parametrize("api", ["chat", "responses"])


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    models: list[OpenAIModel] = []

    def make(url: str, api: Api = "chat", model: str = "gpt", **times: float) -> OpenAIModel:
        models.append(OpenAIModel(api_key=KEY, base_url=url, model=model, api=api, **times))
        return models[-1]

    yield make
    for model in models:
        await model.close()


def ask(text: str = SECRET, *tools: ToolSpec) -> Request:
    return Request("Be kind.", (UserText(text),), tools)


async def collect(model: OpenAIModel, request: Request | None = None) -> list[ModelEvent]:
    return [e async for events in model.stream(request or ask()) for e in events]


async def fails(model: OpenAIModel) -> tuple[list[ModelEvent], ModelError]:
    """What came before the error, and the error. Nothing private is in either."""
    events: list[ModelEvent] = []

    async def read() -> None:
        async for batch in model.stream(ask()):
            events.extend(batch)

    with pytest.raises(ModelError) as caught:
        await read()
    error = caught.value
    told = "".join(traceback.format_exception(error, chain=True)) + f"{vars(error)}"
    for secret in (KEY, SECRET):
        assert secret not in told
    return events, error


def whole(events: list[ModelEvent]) -> dict[str, Any]:
    """The sum of an answer, whatever pieces it came in."""
    texts = [e for e in events if isinstance(e, TextDelta)]
    return {
        "text": "".join(e.text for e in texts if e.kind == "text"),
        "reasoning": "".join(e.text for e in texts if e.kind == "reasoning"),
        "calls": [(e.name, e.arguments) for e in events if isinstance(e, ToolCallReady)],
        "usage": [e for e in events if isinstance(e, Usage)],
        "finished": [e.reason for e in events if isinstance(e, Finished)],
    }


# -------------------------------------------------------------------- aimock

ARGUMENTS = {"query": "wöchentlich 😀 " * 20}
WEATHER = ToolSpec("weather", "Tells the weather.", {"type": "object", "properties": {}})
FIXTURES: list[dict[str, Any]] = [
    {
        "match": {"userMessage": "think"},
        "response": {"content": "Hello **you** 😀. " * 9, "reasoning": "Let me see. " * 9},
    },
    {
        "match": {"userMessage": "usage"},
        "response": {"content": "x", "usage": {"prompt_tokens": 12, "completion_tokens": 34}},
    },
    {
        "match": {"userMessage": "weather"},
        "response": {
            "content": "One moment.",
            "toolCalls": [
                {"name": "weather", "arguments": ARGUMENTS},
                {"name": "weather", "arguments": {}},
            ],
        },
    },
    {
        "match": {"userMessage": "money"},
        "response": {
            "error": {
                "message": f"{KEY} {SECRET}",
                "type": "insufficient_quota",
                "code": "insufficient_quota",
            },
            "status": 429,
        },
    },
    {
        "match": {"userMessage": "cut"},
        "response": {"content": "x" * 900},
        "truncateAfterChunks": 9,
    },
]


@both
async def test_against_aimock(api: Api, make: Make) -> None:
    async with aimock(FIXTURES, "--latency", "2") as url:
        model = make(url, api, "thinker")
        await model.check()

        thought = whole(await collect(model, ask("think")))
        assert thought["text"] == "Hello **you** 😀. " * 9
        assert thought["reasoning"] == "Let me see. " * 9
        assert thought["finished"] == ["stop"]

        assert whole(await collect(model, ask("usage")))["usage"] == [Usage(12, 34)]

        called = await collect(model, ask("weather", WEATHER))
        assert whole(called)["text"] == "One moment."
        assert [json.loads(text) for _, text in whole(called)["calls"]] == [ARGUMENTS, {}]
        assert len({e.key for e in called if isinstance(e, ToolCallStarted)}) == 2
        assert called[-1] == Finished("tool_calls")

        with pytest.raises(ModelError) as caught:
            await collect(model, ask("money"))
        assert caught.value.kind == "quota"
        assert KEY not in caught.value.message

        with pytest.raises(ModelError) as caught:
            await collect(model, ask("cut"))
        assert caught.value.kind in ("cut", "unavailable")

        asked = [entry for entry in await journal(url) if entry["method"] == "POST"]
    # Five questions, five requests: nothing was tried twice.
    assert [entry["body"]["messages"][-1]["content"] for entry in asked] == [
        "think",
        "usage",
        "weather",
        "money",
        "cut",
    ]
    assert all(entry["body"]["messages"][0]["content"] == "Be kind." for entry in asked)
    assert asked[2]["body"]["tools"][0]["function"]["name"] == "weather"


# -------------------------------------------------------------------- the bytes

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def chat_call(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": arguments}
    piece: dict[str, Any] = {"index": index, "function": function}
    if name:
        function["name"] = name
        piece |= {"id": f"call_{index}", "type": "function"}
    return delta(tool_calls=[piece])


CHAT = {
    "text": [
        delta(role="assistant", content=""),
        *(
            delta(content=part)
            for part in ("Grüß ", "Gott 👩‍👩‍👧", " – ", "漢字\n\n", "\\n \u2028")
        ),
        delta("stop"),
        {**delta(), "choices": [], "usage": USAGE},
    ],
    "tools": [
        delta(role="assistant", content=None),
        chat_call(0, "", "first"),
        chat_call(1, "", "second"),
        *(
            chat_call(i % 2, part)
            for i, part in enumerate(['{"a"', '{"b"', ': "é"', ":[1", "}", "]}"])
        ),
        delta("tool_calls"),
        {**delta(), "choices": [], "usage": USAGE},
    ],
    "length": [delta(content="Once"), delta("length")],
}


@pytest.mark.parametrize("name", CHAT)
@pytest.mark.parametrize("seed", range(3))
async def test_chat_agrees_with_the_typed_client(
    name: str, seed: int, make: Make, upstream: Upstream
) -> None:
    stream = b"".join(sse(*CHAT[name], b"[DONE]"))
    upstream.answer(*pieces(stream, seed))
    ours = whole(await collect(make(upstream.url)))

    state = ChatCompletionStreamState()
    async with AsyncOpenAI(api_key=KEY, base_url=upstream.url, max_retries=0) as client:
        async for chunk in await client.chat.completions.create(
            model="gpt", messages=[{"role": "user", "content": "x"}], stream=True
        ):
            state.handle_chunk(chunk)
    theirs = state.current_completion_snapshot
    choice, usage = theirs.choices[0], theirs.usage
    assert ours["text"] == (choice.message.content or "")
    assert ours["calls"] == [
        (call.function.name, call.function.arguments) for call in choice.message.tool_calls or ()
    ]
    assert ours["finished"] == [choice.finish_reason]
    assert bool(ours["text"]) or bool(ours["calls"])
    assert ours["usage"] == ([Usage(11, 7, 2, 3)] if usage else [])
    assert usage is None or usage.prompt_tokens == 11


@pytest.mark.parametrize("seed", range(3))
async def test_responses_agree_with_the_typed_client(
    seed: int, make: Make, upstream: Upstream
) -> None:
    async with aimock(FIXTURES) as url:
        await check_responses(url, seed, make, upstream)


async def check_responses(url: str, seed: int, make: Make, upstream: Upstream) -> None:
    """The bytes come from aimock, so that they are not ours to get wrong twice."""
    for question in ("think", "usage", "weather"):
        async with AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0) as client:
            events = [
                event
                async for event in await client.responses.create(
                    model="thinker", input=question, stream=True
                )
            ]
            async with client.responses.with_streaming_response.create(
                model="thinker", input=question, stream=True
            ) as raw:
                stream = b"".join([part async for part in raw.iter_bytes()])
        upstream.answer(*pieces(stream, seed))
        ours = whole(await collect(make(upstream.url, "responses")))
        final = events[-1]
        assert final.type == "response.completed"
        assert ours["text"] == final.response.output_text
        assert ours["reasoning"] == "".join(
            event.delta for event in events if event.type == "response.reasoning_summary_text.delta"
        )
        assert ours["calls"] == [
            (entry.name, entry.arguments)
            for entry in final.response.output
            if entry.type == "function_call"
        ]
        assert ours["finished"] == ["tool_calls" if ours["calls"] else "stop"]
        assert len(ours["calls"]) == (2 if question == "weather" else 0)
        assert len(ours["usage"]) == (question == "usage")


def pieces(stream: bytes, seed: int) -> list[bytes]:
    """The stream cut anywhere: into single bytes first, then at random."""
    if seed == 0:
        return [stream[i : i + 1] for i in range(len(stream))]
    chance, parts, start = random.Random(seed), [], 0
    while start < len(stream):
        size = chance.randint(1, 4 * 10**seed)
        parts.append(stream[start : start + size])
        start += size
    return parts


@both
async def test_neighbouring_texts_of_one_read_are_one(
    api: Api, make: Make, upstream: Upstream
) -> None:
    upstream.answer(b"".join(said(api, "a", "b", "c") + ended(api)))
    batches = [events async for events in make(upstream.url, api).stream(ask())]
    assert batches == [[TextDelta("abc"), Finished("stop")]]


@both
async def test_the_connection_is_used_again(api: Api, make: Make, upstream: Upstream) -> None:
    upstream.answer(*said(api, "a"), *ended(api))
    model = make(upstream.url, api)
    for _ in range(3):
        assert await collect(model) == [TextDelta("a"), Finished("stop")]
    assert len(upstream.bodies) == 3
    assert len(upstream.connections) == 1


@both
async def test_done_need_not_wait_for_the_end(api: Api, make: Make, upstream: Upstream) -> None:
    upstream.answer(*said(api, "a"), *ended(api), end="wait")
    async with asyncio.timeout(5):
        assert (await collect(make(upstream.url, api)))[-1] == Finished("stop")


# --------------------------------------------------------------- how it breaks


@both
async def test_a_clean_early_end_is_no_error_and_not_finished(
    api: Api, make: Make, upstream: Upstream
) -> None:
    upstream.answer(*said(api, "Once upon"))
    assert await collect(make(upstream.url, api)) == [TextDelta("Once upon")]


@both
async def test_a_reset_is_a_cut(api: Api, make: Make, upstream: Upstream) -> None:
    upstream.answer(*said(api, "Once upon"), end="reset")
    events, error = await fails(make(upstream.url, api))
    assert events == [TextDelta("Once upon")]
    assert error.kind == "cut"


async def test_a_reset_after_the_finish_reason_loses_nothing(
    make: Make, upstream: Upstream
) -> None:
    upstream.answer(*said("chat", "Whole."), *sse(delta("stop")), end="reset")
    assert await collect(make(upstream.url)) == [TextDelta("Whole."), Finished("stop")]


@both
async def test_a_stall_is_a_timeout(api: Api, make: Make, upstream: Upstream) -> None:
    upstream.answer(*said(api, "Once"), end="wait")
    events, error = await fails(make(upstream.url, api, stall_s=0.1))
    assert events == [TextDelta("Once")]
    assert error.kind == "timeout"
    await asyncio.wait_for(upstream.gone.wait(), 5)


@both
@pytest.mark.parametrize("head", [True, False])
async def test_no_first_byte_is_a_timeout(
    api: Api, head: bool, make: Make, upstream: Upstream
) -> None:
    if head:
        upstream.answer(end="wait")
    else:

        async def script(request: Any) -> Any:
            await asyncio.Event().wait()

        upstream.script = script
    events, error = await fails(make(upstream.url, api, first_byte_s=0.5))
    assert (events, error.kind) == ([], "timeout")
    await asyncio.wait_for(upstream.gone.wait(), 5)


@both
async def test_bad_json_is_malformed(api: Api, make: Make, upstream: Upstream) -> None:
    upstream.answer(*said(api, "Once"), b'data: {"choices": [\n\n')
    events, error = await fails(make(upstream.url, api))
    assert events == [TextDelta("Once")]
    assert error.kind == "malformed"


@both
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, "<h1>Hello</h1>", "malformed"),
        (200, {"choices": [{"message": {"content": SECRET}}]}, "malformed"),
        (200, {"error": {"code": "insufficient_quota"}}, "quota"),
        (302, "<h1>Elsewhere</h1>", "malformed"),
        (400, {"error": {"code": "context_length_exceeded"}}, "context_overflow"),
        (
            400,
            {"error": {"type": "exceed_context_size_error", "code": 400}},
            "context_overflow",
        ),
        (
            400,
            {"error": {"message": "This model's maximum context length is 8192 tokens"}},
            "context_overflow",
        ),
        (400, {"error": {"message": SECRET, "type": "invalid_request_error"}}, "bad_request"),
        (
            401,
            {"error": {"message": f"Bad key {KEY}", "code": "invalid_api_key"}},
            "unauthorized",
        ),
        (401, {"error": {"message": KEY, "code": KEY, "type": KEY}}, "unauthorized"),
        (402, {"error": {"message": "pay"}}, "quota"),
        (403, "<h1>No</h1>", "unauthorized"),
        (
            404,
            {"error": {"type": "invalid_request_error", "code": "model_not_found"}},
            "not_found",
        ),
        (404, {"error": {"type": "invalid_request_error", "code": None}}, "not_found"),
        (422, {"detail": [SECRET]}, "bad_request"),
        (429, {"error": {"type": "insufficient_quota", "code": "anything"}}, "quota"),
        (429, {"error": {"type": "insufficient_quota", "code": "slow_down"}}, "quota"),
        (429, {"error": {"code": "credit_balance_exhausted"}}, "quota"),
        (429, {"error": {"code": "organization_spend_limit_exceeded"}}, "quota"),
        (429, {"error": {"code": "project_spend_limit_exceeded"}}, "quota"),
        (429, {"error": {"code": "organization_usage_limit_exceeded"}}, "quota"),
        (429, {"error": {"code": "rate_limit_exceeded", "type": "tokens"}}, "rate_limited"),
        (429, {"error": {"code": "slow_down"}}, "rate_limited"),
        (429, {"error": {"type": "invalid_request_error"}}, "rate_limited"),
        (429, "", "rate_limited"),
        (500, {"error": {"type": "server_error"}}, "unavailable"),
        (502, "<h1>Bad Gateway</h1>", "unavailable"),
        (503, {"error": {"message": SECRET, "type": "server_error"}}, "unavailable"),
    ],
)
async def test_answers_that_are_no_stream(
    api: Api, status: int, body: Any, kind: str, make: Make, upstream: Upstream
) -> None:
    upstream.reply(status, body)
    events, error = await fails(make(upstream.url, api))
    assert (events, error.kind) == ([], kind)
    assert len(upstream.bodies) == 1, "nothing is tried twice here"
    assert upstream.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_an_error_counts_where_done_follows_it_at_once(
    make: Make, upstream: Upstream
) -> None:
    error = {"error": {"code": "insufficient_quota"}}
    upstream.answer(b"".join(said("chat", "Once") + sse(error, b"[DONE]")))
    events, failed = await fails(make(upstream.url))
    assert (events, failed.kind) == ([TextDelta("Once")], "quota")


async def test_text_that_is_no_event_stream_is_malformed(make: Make, upstream: Upstream) -> None:
    upstream.answer(b"Hello there.\n\nHow are you?\n\n", kind="text/plain")
    assert (await fails(make(upstream.url)))[1].kind == "malformed"


async def test_an_event_stream_by_another_name_is_read(make: Make, upstream: Upstream) -> None:
    upstream.answer(*said("chat", "a"), *ended("chat"), kind="text/plain")
    assert await collect(make(upstream.url)) == [TextDelta("a"), Finished("stop")]


async def test_an_empty_event_stream_is_not_finished(make: Make, upstream: Upstream) -> None:
    upstream.answer()
    assert await collect(make(upstream.url)) == []


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "1.5"}, 1.5, 1.5),
        ({"Retry-After": "-3"}, 0, 0),
        ({"Retry-After": "9", "retry-after-ms": "250"}, 0.25, 0.25),
        ({"Retry-After": "in an hour"}, 3500, 3600),
        ({"Retry-After": "an hour ago"}, 0, 0),
        ({"Retry-After": "soon"}, None, None),
        ({"Retry-After": "inf"}, None, None),
        ({}, None, None),
    ],
)
async def test_retry_after(
    headers: dict[str, str],
    low: float | None,
    high: float | None,
    make: Make,
    upstream: Upstream,
) -> None:
    dates = {"in an hour": 3600, "an hour ago": -3600}
    headers = {
        name: formatdate(time.time() + dates[value], usegmt=True) if value in dates else value
        for name, value in headers.items()
    }
    upstream.reply(429, {"error": {"code": "rate_limit_exceeded"}}, **headers)
    _, error = await fails(make(upstream.url))
    assert error.kind == "rate_limited"
    if low is None or high is None:
        assert error.retry_after_s is None
    else:
        assert error.retry_after_s is not None
        assert low <= error.retry_after_s <= high


async def test_nobody_there_is_unavailable(make: Make) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    assert (await fails(make(url)))[1].kind == "unavailable"
    assert (await fails(make("http://name.invalid/v1")))[1].kind == "unavailable"


@pytest.mark.parametrize(
    ("answer", "kind"), [(b"", "unavailable"), (b"SSH-2.0-OpenSSH_9.2\r\n", "malformed")]
)
async def test_a_server_that_speaks_no_http(answer: bytes, kind: str, make: Make) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await fails(make(f"http://127.0.0.1:{port}/v1")))[1].kind == kind


# -------------------------------------------------------------------- stopping


@both
async def test_closing_the_stream_closes_the_request(
    api: Api, make: Make, upstream: Upstream
) -> None:
    upstream.answer(*said(api, "Once"), end="wait")
    stream = make(upstream.url, api).stream(ask())
    assert await anext(stream) == [TextDelta("Once")]
    assert not upstream.gone.is_set()
    async with asyncio.timeout(0.25):
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
    async with asyncio.timeout(0.25):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await upstream.gone.wait()


# --------------------------------------------------------------------- the rest


@pytest.mark.parametrize("status", [200, 404, 405])
async def test_check_passes(status: int, make: Make, upstream: Upstream) -> None:
    upstream.reply(status, {"data": []})
    await make(upstream.url).check()
    assert len(upstream.headers) == 1


@pytest.mark.parametrize(("status", "kind"), [(401, "unauthorized"), (503, "unavailable")])
async def test_check_fails(status: int, kind: str, make: Make, upstream: Upstream) -> None:
    upstream.reply(status, {"error": {"message": KEY}})
    with pytest.raises(ModelError) as caught:
        await make(upstream.url).check()
    assert caught.value.kind == kind
    assert KEY not in caught.value.message


@pytest.mark.parametrize(
    ("status", "key", "path", "says"),
    [
        (401, "", "/v1", "No key is set: OPENAI_API_KEY"),
        (401, KEY, "/v1", ""),
        (404, KEY, "", "it ends in /v1"),
        (404, KEY, "/", "it ends in /v1"),
        (404, KEY, "/v1", ""),
    ],
)
async def test_what_is_probably_missing_is_told(
    status: int, key: str, path: str, says: str, upstream: Upstream
) -> None:
    upstream.reply(status, {"error": {"message": "as the provider puts it"}})
    url = upstream.url.removesuffix("/v1") + path
    given = {"OPENAI_BASE_URL": url, "OPENAI_MODEL": "gpt", "OPENAI_API_KEY": key}
    chain = await make_chain(Settings.load(given, None))
    _, error = await fails(chain.models[0])  # type: ignore[arg-type]
    await chain.close()
    assert says in error.report
    assert bool(says) == ("set: " in error.report or "path; " in error.report)
    if path == "/v1":
        assert error.report.endswith("as the provider puts it")


async def test_check_times_out(make: Make, upstream: Upstream) -> None:
    upstream.answer(end="wait")
    with pytest.raises(ModelError) as caught:
        await make(upstream.url, first_byte_s=0.1).check()
    assert caught.value.kind == "timeout"


async def test_the_label_names_the_host_and_never_the_key(make: Make) -> None:
    model = make("https://user:pass@api.example.org/v1")
    assert model.label == "gpt at api.example.org (chat)"
    assert model.name == "gpt"


async def test_the_environment_does_not_redirect(
    monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.example")
    model = OpenAIModel(api_key=KEY, base_url=None, model="gpt", api="responses")
    assert model.label == "gpt at api.openai.com (responses)"
    assert str(model._client.base_url) == "https://api.openai.com/v1/"
    await model.close()


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(make: Make) -> None:
    """The server closes each connection right after an answer without saying so, as
    llama.cpp's does, so the second request meets a connection that is going away."""
    asked = 0
    closing: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        answers = 0
        while not reader.at_eof():
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head.lower())[1])  # type: ignore[index]
            await reader.readexactly(length)
            answers += 1
            if answers == 2:
                break  # closed without a word, as if before the request came
            asked += 1
            data = b"".join(said("chat", "a") + ended("chat"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(data) + data)
        closing.append(writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        model = make(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        for _ in range(3):
            assert await collect(model) == [TextDelta("a"), Finished("stop")]
        assert asked == 3
        assert len(closing) == 2
        await model.close()


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
    done, _ = await asyncio.wait([answer], timeout=0.8)
    assert bool(done) != patient
    go_on.set()
    if patient:
        assert whole(await answer)["calls"] == [("weather", "{}")]
    else:
        with pytest.raises(ModelError, match="in time"):
            await answer


async def test_a_call_that_is_under_way_may_take_its_time(make: Make, upstream: Upstream) -> None:
    upstream.answer(*said("chat", "I loo"), *called("chat", "f", '{"a', whole=False), end="wait")
    model = make(upstream.url, "chat", stall_s=0.1, think_s=0.1, first_byte_s=0.7)
    begun = time.monotonic()
    with pytest.raises(ModelError, match="in time"):
        await collect(model)
    assert time.monotonic() - begun > 0.6  # think_s is no shorter than first_byte_s


# ---------------------------------------------------------------- what is asked for

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

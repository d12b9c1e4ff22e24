"""How an answer over real HTTP breaks, and what is said of it."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from email.utils import formatdate
from typing import Any

import pytest

from realtime.build.providers import make_chain
from realtime.config import Settings
from realtime.models import Finished, ModelError, TextDelta
from tests.models.asking import KEY, SECRET, Make, both, collect, fails
from tests.models.conftest import Upstream
from tests.models.payloads import Api, delta, ended, said, sse


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


# ----------------------------------------------------------------------- the check


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


async def test_the_model_of_summaries_is_one_of_the_chain_and_no_choice() -> None:
    given = {"OPENAI_API_KEY": "sk-1", "SUMMARY_MODEL": "small@http://127.0.0.1:9/v1 key=OTHER"}
    chain = await make_chain(Settings.load({**given, "OTHER": "sk-2"}, None))
    assert chain.begin_aside().model.name == "small"
    assert "small" not in chain.choices
    assert "small" in [model.name for model in chain.models], "it is checked and closed"
    assert chain.begin("small").model.name == chain.name
    await chain.close()

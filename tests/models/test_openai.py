"""Whole answers over real HTTP: from aimock, and from scripted bytes."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState

from realtime.models import Finished, ModelError, TextDelta, ToolCallStarted
from realtime.protocol import Usage
from tests.models.asking import KEY, SECRET, WEATHER, Make, ask, both, collect, whole
from tests.models.conftest import Upstream
from tests.models.payloads import Api, delta, ended, said, sse
from tests.support.aimock import aimock, journal

# -------------------------------------------------------------------- aimock

ARGUMENTS = {"query": "wöchentlich 😀 " * 20}
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
    async with asyncio.timeout(20):
        assert (await collect(make(upstream.url, api)))[-1] == Finished("stop")

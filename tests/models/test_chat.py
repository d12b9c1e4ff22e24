from __future__ import annotations

import json
from typing import Any

import pytest

from realtime.models import (
    AssistantText,
    Finished,
    ModelError,
    ModelEvent,
    Request,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolRequest,
    ToolResult,
    ToolSpec,
    UserText,
)
from realtime.models.chat import ChatDecoder, body
from realtime.protocol import Usage


def decode(*chunks: dict[str, Any]) -> list[ModelEvent]:
    decoder = ChatDecoder()
    events: list[ModelEvent] = []
    for chunk in chunks:
        events += decoder.feed(json.dumps(chunk).encode())
    return events + decoder.finish()


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(index: int | None, id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    piece: dict[str, Any] = {"function": {}}
    if index is not None:
        piece["index"] = index
    if id is not None:
        piece["id"] = id
    if name is not None:
        piece["function"]["name"] = name
    if arguments is not None:
        piece["function"]["arguments"] = arguments
    return delta(tool_calls=[piece])


def ready(events: list[ModelEvent]) -> list[tuple[str, str]]:
    """Name and arguments of the calls; every one was announced, once, under its key."""
    calls = [e for e in events if isinstance(e, ToolCallReady)]
    started = [e for e in events if isinstance(e, ToolCallStarted)]
    assert {(c.key, c.name) for c in calls} == {(s.key, s.name) for s in started}
    assert len({s.key for s in started}) == len(started) == len(calls)
    return [(c.name, c.arguments) for c in calls]


# ----------------------------------------------------------------- the request


def test_request_body() -> None:
    request = Request(
        "Be kind.",
        (
            UserText("Weather?"),
            AssistantText("Let me see."),
            ToolRequest("id1", "weather", '{"city": "Rome"}'),
            ToolRequest("id2", "weather", '{"city": "Oslo"}'),
            ToolResult("id1", "warm"),
            ToolResult("id2", "cold"),
            AssistantText("Warm and cold."),
            UserText("Thanks"),
            ToolRequest("id3", "wave", "{}"),
            ToolResult("id3", "done"),
        ),
        (ToolSpec("weather", "Tells the weather.", {"type": "object", "properties": {}}),),
    )

    def requested(id: str, name: str, arguments: str) -> dict[str, Any]:
        function = {"name": name, "arguments": arguments}
        return {"id": id, "type": "function", "function": function}

    assert body("gpt", request) == {
        "model": "gpt",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [
                    requested("id1", "weather", '{"city": "Rome"}'),
                    requested("id2", "weather", '{"city": "Oslo"}'),
                ],
            },
            {"role": "tool", "tool_call_id": "id1", "content": "warm"},
            {"role": "tool", "tool_call_id": "id2", "content": "cold"},
            {"role": "assistant", "content": "Warm and cold."},
            {"role": "user", "content": "Thanks"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [requested("id3", "wave", "{}")],
            },
            {"role": "tool", "tool_call_id": "id3", "content": "done"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Tells the weather.",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ],
    }


def test_request_without_tools_and_instructions() -> None:
    plain = body("gpt", Request("", (UserText("Hi"),)))
    assert plain["messages"] == [{"role": "user", "content": "Hi"}]
    assert "tools" not in plain


# ------------------------------------------------------------------ the answer


def test_text_reasoning_and_refusal() -> None:
    events = decode(
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm", reasoning="Hm"),
        delta(reasoning="."),
        delta(content="Hello"),
        delta(refusal=" no"),
        delta("stop"),
    )
    assert events == [
        TextDelta("Hm", "reasoning"),
        TextDelta(".", "reasoning"),
        TextDelta("Hello"),
        TextDelta(" no"),
        Finished("stop"),
    ]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
    ],
)
def test_finish_reasons(said: str, reason: str) -> None:
    asked = [call(0, "1", "a", "{}")] if reason == "tool_calls" else []
    events = decode(delta(content="x"), *asked, delta(said))
    assert events[-1] == Finished(reason)  # type: ignore[arg-type]


def test_no_finish_reason_no_finished() -> None:
    assert decode(delta(content="x")) == [TextDelta("x")]


USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


@pytest.mark.parametrize("early", [True, False])
def test_usage_comes_before_finished_whatever_the_order(early: bool) -> None:
    usage = {"choices": [], "usage": USAGE}
    chunks = [usage, delta("stop")] if early else [delta("stop"), usage]
    expected = Usage(11, 7, reasoning_tokens=2, cached_tokens=3)
    assert decode(delta(content="x"), *chunks)[1:] == [expected, Finished("stop")]


def test_the_last_usage_counts_and_an_empty_one_does_not() -> None:
    counting = [
        {**delta(content="x"), "usage": {"prompt_tokens": 5, "completion_tokens": n}}
        for n in (1, 2)
    ]
    assert decode(*counting, delta("stop"))[-2] == Usage(5, 2)
    nothing = {"choices": None, "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    assert decode(delta("stop"), nothing) == [Finished("stop")]


def test_interleaved_calls_are_ready_in_index_order() -> None:
    events = decode(
        call(1, "b", "second", ""),
        call(0, "a", "first", ""),
        call(1, None, None, '{"y"'),
        call(0, None, None, '{"x":'),
        call(1, None, None, ":2}"),
        call(0, None, None, "1}"),
        delta("tool_calls"),
    )
    assert events[:2] == [ToolCallStarted("0", "second"), ToolCallStarted("1", "first")]
    assert events[2:] == [
        ToolCallReady("1", "first", '{"x":1}', id="a"),
        ToolCallReady("0", "second", '{"y":2}', id="b"),
        Finished("tool_calls"),
    ]


TWO = [("f", '{"n":1}'), ("g", '{"n":2}')]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [call(0, "a", "f", '{"n":1}'), call(1, "b", "g", '{"n":2}')], id="whole calls"
        ),
        pytest.param(
            [call(0, "a", "f", '{"n":1}'), call(0, "b", "g", '{"n":2}')],
            id="one index, new ids",
        ),
        pytest.param(
            [call(0, None, "f", '{"n":1}'), call(0, None, "g", '{"n":2}')],
            id="one index, no ids",
        ),
        pytest.param(
            [call(0, "", "f", '{"n":1}'), call(0, "", "g", '{"n":2}')],
            id="one index, empty ids",
        ),
        pytest.param(
            [call(None, "a", "f", '{"n":1}'), call(None, "b", "g", '{"n":2}')], id="no index"
        ),
        pytest.param(
            [call(None, None, "f", '{"n":1}'), call(None, None, "g", '{"n":2}')], id="nothing"
        ),
        pytest.param(
            [
                call(None, "a", "f", '{"n"'),
                call(None, None, None, ":1}"),
                call(None, "b", "g", '{"n"'),
                call(None, None, None, ":2}"),
            ],
            id="no index, in pieces",
        ),
        pytest.param(
            [
                call(0, "a", "f", '{"n"'),
                call(1, "b", "g", '{"n"'),
                call(0, "a", "f", ":1}"),
                call(1, "b", "g", ":2}"),
            ],
            id="ids and names repeated",
        ),
        pytest.param(
            [
                call(0, "a", "f", ""),
                call(0, "a1", None, '{"n":1}'),
                call(1, "b", "g", ""),
                call(1, "b1", "", '{"n":2}'),
            ],
            id="a new id with every piece",
        ),
        pytest.param(
            [
                call(0, "a", None, None),
                call(0, None, "f", '{"n":1}'),
                call(1, "b", None, None),
                call(1, None, "g", '{"n":2}'),
            ],
            id="the name comes late",
        ),
    ],
)
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
def test_every_way_to_send_two_calls(pieces: list[dict[str, Any]], finish: str) -> None:
    events = decode(*pieces, delta(finish))
    assert ready(events) == TWO
    assert events[-1] == Finished("tool_calls")


def test_two_calls_by_the_same_name_without_ids_and_arguments_are_two() -> None:
    pieces = [call(0, None, "f", ""), call(0, None, "f", "")]
    assert ready(decode(*pieces, delta("tool_calls"))) == [("f", ""), ("f", "")]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [call(0, "a", "look_", None), call(0, "a", "look_up", None), call(0, "a", None, "{}")],
            id="a name that grows",
        ),
        pytest.param(
            [call(0, "a", "look_up", "{"), call(0, None, None, "}"), call(0, "a", "look_up", "{}")],
            id="arguments once more, whole",
        ),
    ],
)
def test_what_comes_again_counts_once(pieces: list[dict[str, Any]]) -> None:
    (found,) = [e for e in decode(*pieces, delta("stop")) if isinstance(e, ToolCallReady)]
    assert (found.name, found.arguments) == ("look_up", "{}")


def test_a_new_id_begins_a_new_call_even_after_none_of_the_arguments() -> None:
    events = decode(call(0, "a", "f", ""), call(0, "b", "g", "{}"), delta("tool_calls"))
    assert ready(events) == [("f", ""), ("g", "{}")]


def test_arguments_that_are_an_object_and_the_old_function_call() -> None:
    assert ready(decode(call(0, "a", "f", {"é": 1}), delta("tool_calls"))) == [("f", '{"é": 1}')]
    old = [delta(function_call={"name": "f", "arguments": "{"})]
    old += [delta(function_call={"arguments": "}"}), delta("function_call")]
    assert ready(decode(*old)) == [("f", "{}")]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_call_that_was_cut_short_is_never_ready(finish: str) -> None:
    events = decode(call(0, "a", "f", '{"n"'), delta(finish))
    assert events == [ToolCallStarted("0", "f"), Finished(finish)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error": {"message": "m", "code": "insufficient_quota"}}, "quota"),
        ({"error": {"message": "m", "type": "insufficient_quota", "code": None}}, "quota"),
        ({"error": {"message": "m", "code": "rate_limit_exceeded"}}, "rate_limited"),
        ({"error": {"message": "m", "code": 429}}, "rate_limited"),
        ({"error": {"message": "m", "code": 502}}, "unavailable"),
        ({"error": {"code": "context_length_exceeded"}}, "context_overflow"),
        ({"error": "overloaded"}, "unavailable"),
        ({"error": {"error": {"type": "server_error"}}}, "unavailable"),
        ({"object": "error", "message": "m", "code": 400}, "bad_request"),
        ({"type": "error", "message": "m", "code": "slow_down"}, "rate_limited"),
    ],
)
def test_errors_in_the_stream(error: dict[str, Any], kind: str) -> None:
    with pytest.raises(ModelError) as caught:
        decode(delta(content="x"), error)
    assert caught.value.kind == kind


def test_content_in_parts_is_text_and_reasoning() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm. "}]}
    events = decode(
        delta(content=[thought]),
        delta(content=[{"type": "text", "text": "Yes"}, {"type": "reference", "ids": [1]}]),
        delta(content=".", finish="stop"),
    )
    assert events == [
        TextDelta("Hm. ", "reasoning"),
        TextDelta("Yes"),
        TextDelta("."),
        Finished("stop"),
    ]

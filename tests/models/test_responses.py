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
from realtime.models.responses import ResponsesDecoder, body
from realtime.protocol import Usage


def decode(*events: dict[str, Any]) -> list[ModelEvent]:
    decoder = ResponsesDecoder()
    result: list[ModelEvent] = []
    for event in events:
        result += decoder.feed(json.dumps(event).encode())
        assert decoder.finished == any(isinstance(e, Finished) for e in result)
    return result + decoder.finish()


def item(phase: str, index: int | None, id: str, **fields: Any) -> dict[str, Any]:
    event: dict[str, Any] = {"type": f"response.output_item.{phase}"}
    event["item"] = {"type": "function_call", "id": id, **fields}
    return event if index is None else {**event, "output_index": index}


def piece(index: int | None, id: str, delta: str) -> dict[str, Any]:
    event = {"type": "response.function_call_arguments.delta", "item_id": id, "delta": delta}
    return event if index is None else {**event, "output_index": index}


def end(index: int | None, id: str, arguments: str | None) -> dict[str, Any]:
    event: dict[str, Any] = {"type": "response.function_call_arguments.done", "item_id": id}
    if arguments is not None:
        event["arguments"] = arguments
    return event if index is None else {**event, "output_index": index}


def text(delta: str, kind: str = "output_text") -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "item_id": "m", "output_index": 0, "delta": delta}


def last(type: str = "completed", **response: Any) -> dict[str, Any]:
    return {"type": f"response.{type}", "response": {"id": "r", "output": [], **response}}


def test_request_body() -> None:
    request = Request(
        "Be kind.",
        (
            UserText("Weather?"),
            AssistantText("Let me see."),
            ToolRequest("id1", "weather", '{"city": "Rome"}'),
            ToolResult("id1", "warm"),
        ),
        (ToolSpec("weather", "Tells the weather.", {"type": "object", "properties": {}}),),
    )
    assert body("gpt", request) == {
        "model": "gpt",
        "instructions": "Be kind.",
        "input": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "Let me see."},
            {
                "type": "function_call",
                "call_id": "id1",
                "name": "weather",
                "arguments": '{"city": "Rome"}',
            },
            {"type": "function_call_output", "call_id": "id1", "output": "warm"},
        ],
        "store": False,
        "stream": True,
        "tools": [
            {
                "type": "function",
                "name": "weather",
                "description": "Tells the weather.",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            }
        ],
    }
    plain = body("gpt", Request("", (UserText("Hi"),)))
    assert "tools" not in plain
    assert "instructions" not in plain


def test_text_reasoning_and_refusal() -> None:
    events = decode(
        {"type": "response.created", "response": {"id": "r", "output": [], "error": None}},
        text("Hm", "reasoning_summary_text"),
        text(".", "reasoning_text"),
        text("Hello"),
        {"type": "response.output_text.done", "text": "Hello"},
        text(" no", "refusal"),
        last(
            usage={
                "input_tokens": 11,
                "output_tokens": 7,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens_details": {"reasoning_tokens": 2},
            }
        ),
    )
    assert events == [
        TextDelta("Hm", "reasoning"),
        TextDelta(".", "reasoning"),
        TextDelta("Hello"),
        TextDelta(" no"),
        Usage(11, 7, reasoning_tokens=2, cached_tokens=3),
        Finished("stop"),
    ]


@pytest.mark.parametrize("indexed", [True, False])
def test_interleaved_calls(indexed: bool) -> None:
    a, b = (1, 2) if indexed else (None, None)
    events = decode(
        text("Let me see."),
        item("added", a, "fc1", name="f", arguments="", status="in_progress"),
        item("added", b, "fc2", name="g", arguments="", status="in_progress"),
        piece(b, "fc2", '{"y"'),
        piece(a, "fc1", '{"x":1}'),
        piece(b, "fc2", ":2}"),
        end(b, "fc2", None),
        end(a, "fc1", '{"x":1}'),
        item("done", a, "fc1", name="f", arguments='{"x":1}', status="completed"),
        item("done", b, "fc2", name="g", arguments='{"y":2}', status="completed"),
        last(usage=None),
    )
    assert events == [
        TextDelta("Let me see."),
        ToolCallStarted("0", "f"),
        ToolCallStarted("1", "g"),
        ToolCallReady("1", "g", '{"y":2}'),
        ToolCallReady("0", "f", '{"x":1}'),
        Finished("tool_calls"),
    ]


@pytest.mark.parametrize("announced", ["item", "response"])
def test_a_call_that_comes_in_one_piece(announced: str) -> None:
    call = {"type": "function_call", "id": "fc1", "name": "f", "arguments": "{}"}
    if announced == "item":
        events = decode(item("done", 0, "fc1", name="f", arguments="{}"), last(output=[call]))
    else:
        events = decode(last(output=[call]))
    assert events == [
        ToolCallStarted("0", "f"),
        ToolCallReady("0", "f", "{}"),
        Finished("tool_calls"),
    ]


def test_an_incomplete_call_is_never_ready() -> None:
    cut = {"name": "f", "arguments": '{"n"', "status": "incomplete"}
    events = decode(
        item("added", 0, "fc1", name="f", arguments=""),
        piece(0, "fc1", '{"n"'),
        item("done", 0, "fc1", **cut),
        last(
            "incomplete",
            incomplete_details={"reason": "max_output_tokens"},
            output=[{"type": "function_call", "id": "fc1", **cut}],
        ),
    )
    assert events == [ToolCallStarted("0", "f"), Finished("length")]


@pytest.mark.parametrize(
    ("reason", "finished"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "length")],
)
def test_incomplete(reason: str | None, finished: str) -> None:
    details = {"reason": reason} if reason else None
    events = decode(text("x"), last("incomplete", incomplete_details=details))
    assert events == [TextDelta("x"), Finished(finished)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "error", "code": "insufficient_quota", "message": "m"}, "quota"),
        ({"type": "error", "code": "server_error", "message": "m"}, "unavailable"),
        ({"type": "error", "code": None, "message": "m"}, "unavailable"),
        ({"type": "error", "error": {"code": "slow_down", "message": "m"}}, "rate_limited"),
        ({"error": {"code": "context_length_exceeded"}}, "context_overflow"),
        ({"error": {"type": "invalid_request_error", "message": "m"}}, "bad_request"),
        (last("failed", error={"code": "rate_limit_exceeded", "message": "m"}), "rate_limited"),
        (last("failed", error={"code": "server_error", "message": "m"}), "unavailable"),
        (last("failed", error={"code": "invalid_prompt", "message": "m"}), "bad_request"),
        (last("failed", error=None), "unavailable"),
    ],
)
def test_errors_in_the_stream(event: dict[str, Any], kind: str) -> None:
    with pytest.raises(ModelError) as caught:
        decode(text("x"), event)
    assert caught.value.kind == kind

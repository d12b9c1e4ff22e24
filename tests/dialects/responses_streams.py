"""Streams of the Responses API."""

from __future__ import annotations

from typing import Any

from tests.dialects.streams import BOM, DELETE, LOGS, NO_MONEY, NOT_WHOLE, Odd, fails, sse


def event(type: str, **fields: Any) -> bytes:
    return sse({"type": f"response.{type}", **fields}, f"response.{type}")


def said(text: str, item: str = "msg_1", index: int = 0) -> bytes:
    at = {"item_id": item, "output_index": index}
    return event("output_text.delta", delta=text, content_index=0, **at)


def message(text: str, item: str, index: int) -> bytes:
    content = [{"type": "output_text", "text": text}]
    whole = {"type": "message", "id": item, "role": "assistant"}
    return (
        event("output_item.added", item={**whole, "content": []}, output_index=index)
        + said(text, item, index)
        + event("output_item.done", item={**whole, "content": content}, output_index=index)
    )


def function(arguments: Any = LOGS, id: Any = "fc_1", call_id: Any = "call_1") -> dict[str, Any]:
    item = {"type": "function_call", "name": DELETE, "arguments": arguments, "id": id}
    item |= {"call_id": call_id, "status": "completed"}
    return {key: value for key, value in item.items() if value is not None}


def added(item: dict[str, Any], index: int = 0) -> bytes:
    return event("output_item.added", item={**item, "arguments": ""}, output_index=index)


def closed(item: dict[str, Any], index: int = 0) -> bytes:
    return event("output_item.done", item=item, output_index=index)


def argued(kind: str, item: str = "fc_1", index: int = 0, **fields: Any) -> bytes:
    return event(f"function_call_arguments.{kind}", item_id=item, output_index=index, **fields)


def completed(*output: dict[str, Any], **fields: Any) -> bytes:
    return event("completed", response={"status": "completed", "output": [*output], **fields})


def incomplete(why: str, *output: dict[str, Any]) -> bytes:
    details = {"reason": why}
    response = {"status": "incomplete", "incomplete_details": details, "output": [*output]}
    return event("incomplete", response=response)


def makes(name: str, *parts: bytes, calls: tuple[str, ...] = ("logs",), **more: Any) -> Odd:
    return Odd(name, "responses", parts, text="Done.", calls=calls, **more)


FUNCTION = function()
OTHER = function('{"folder": "tmp"}', "fc_2", "call_2")
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "arguments": {"q": 1}}


def errs(name: str, error: bytes) -> Odd:
    """An error behind some text."""
    return Odd(name, "responses", (said("Hello."), error), status=("interrupted",))


RESPONSES = (
    Odd("a byte order mark", "responses", (BOM + said("Hello."), completed())),
    Odd("an end without anything", "responses", (said("Hello."),), status=("interrupted",)),
    Odd(
        "a limit",
        "responses",
        (said("Hello."), incomplete("max_output_tokens")),
        status=("incomplete",),
        reason="length",
    ),
    Odd(
        "a filter",
        "responses",
        (said("Hello."), incomplete("content_filter")),
        status=("incomplete",),
        reason="content_filter",
    ),
    Odd(
        "a reason of tomorrow",
        "responses",
        (said("Hello."), incomplete("a_reason_of_tomorrow")),
        status=NOT_WHOLE,
    ),
    Odd(
        "a whole call, then a limit",
        "responses",
        (said("Hello."), added(FUNCTION, 1), closed(FUNCTION, 1), incomplete("max_output_tokens")),
        status=("incomplete",),
    ),
    Odd(
        "a whole call, then the end",
        "responses",
        (said("Hello."), added(FUNCTION, 1), closed(FUNCTION, 1)),
        status=NOT_WHOLE,
    ),
    Odd(
        "half a call, then a limit",
        "responses",
        (
            said("Hello."),
            added(FUNCTION, 1),
            argued("delta", index=1, delta='{"fol'),
            incomplete("max_output_tokens", {**function('{"fol'), "status": "incomplete"}),
        ),
        status=("incomplete",),
    ),
    makes(
        "an empty end of the arguments",
        added(FUNCTION),
        argued("delta", delta='{"folder": '),
        argued("delta", delta='"logs"}'),
        argued("done", arguments=""),
        closed(FUNCTION),
        completed(FUNCTION),
    ),
    makes(
        "an empty end of the arguments and of the item",
        added(FUNCTION),
        argued("delta", delta=LOGS),
        argued("done", arguments=""),
        closed(function("")),
        completed(),
    ),
    makes("a call that only the end names", completed(FUNCTION)),
    makes(
        "a call under another id and place at the end",
        added(FUNCTION),
        closed(FUNCTION),
        completed({"type": "reasoning", "id": "rs_1", "summary": []}, function(id="fc_other")),
    ),
    makes(
        "a fresh id with each event",
        added(function(id="fc_a")),
        argued("delta", "fc_b", delta=LOGS),
        argued("done", "fc_c", arguments=LOGS),
        closed(function(id="fc_d")),
        completed(function(id="fc_e")),
    ),
    makes("no ids", added(function(id=None)), closed(function(id=None)), completed()),
    makes(
        "an id that is a number",
        added(function(call_id=7)),
        closed(function(call_id=7)),
        completed(),
    ),
    makes(
        "two calls of one place",
        added(FUNCTION),
        closed(FUNCTION),
        added(OTHER),
        closed(OTHER),
        completed(FUNCTION, OTHER),
        calls=("logs", "tmp"),
    ),
    makes(
        "the same call twice on purpose",
        added(FUNCTION),
        closed(FUNCTION),
        added(function(id="fc_2", call_id="call_2"), 1),
        closed(function(id="fc_2", call_id="call_2"), 1),
        completed(FUNCTION, function(id="fc_2", call_id="call_2")),
        calls=("logs", "logs"),
    ),
    Odd(
        "a text that only the end of its item holds",
        "responses",
        (
            event(
                "output_item.added",
                item={"type": "message", "id": "m", "content": []},
                output_index=0,
            ),
            closed(
                {
                    "type": "message",
                    "id": "m",
                    "content": [{"type": "output_text", "text": "Hello."}],
                }
            ),
            completed(),
        ),
    ),
    Odd(
        "a text that only the end of the answer holds",
        "responses",
        (
            completed(
                {
                    "type": "message",
                    "id": "m",
                    "content": [{"type": "output_text", "text": "Hello."}],
                }
            ),
        ),
    ),
    Odd(
        "a text that only its own end holds",
        "responses",
        (event("output_text.done", text="Hello.", item_id="m", output_index=0), completed()),
    ),
    makes(
        "a call that is never closed, and is not listed",
        added(FUNCTION),
        argued("delta", delta=LOGS),
        completed(),
    ),
    makes("a call that was begun, and is listed", added(FUNCTION), completed(FUNCTION)),
    Odd(
        "half a call that is never closed, then the end",
        "responses",
        (said("Hello."), added(FUNCTION, 1), argued("delta", index=1, delta='{"fol'), completed()),
        status=NOT_WHOLE,
    ),
    makes(
        "two calls in turns",
        added(FUNCTION, 0),
        added(OTHER, 1),
        argued("delta", "fc_1", 0, delta='{"folder": '),
        argued("delta", "fc_2", 1, delta='{"folder": '),
        argued("delta", "fc_1", 0, delta='"logs"}'),
        argued("delta", "fc_2", 1, delta='"tmp"}'),
        argued("done", "fc_2", 1, arguments='{"folder": "tmp"}'),
        closed(OTHER, 1),
        closed(FUNCTION, 0),
        completed(FUNCTION, OTHER),
        calls=("logs", "tmp"),
    ),
    Odd("no line behind the end", "responses", (said("Hello."), completed().rstrip())),
    makes(
        "a thought before a call, cut inside a character",
        event("output_item.added", item={"type": "reasoning", "id": "rs_1"}, output_index=0),
        closed(
            {
                "type": "reasoning",
                "id": "rs_1",
                "encrypted_content": "x",
                "summary": [{"type": "summary_text", "text": "<d83d>"}],
            }
        ),
        added(FUNCTION, 1),
        closed(FUNCTION, 1),
        completed(),
    ),
    makes("arguments as an object", closed(function({"folder": "logs"})), completed()),
    makes("empty arguments", added(function("")), closed(function("")), completed(), calls=("",)),
    makes("arguments null", added(FUNCTION), closed(function("null")), completed(), calls=("",)),
    Odd(
        "an item that nobody knows",
        "responses",
        (
            event("output_item.added", item=SEARCH, output_index=0),
            event("web_search_call.searching", item_id="ws_1", output_index=0),
            closed(SEARCH),
            said("Hello.", index=1),
            completed(SEARCH),
        ),
    ),
    Odd(
        "two messages",
        "responses",
        (message("Hello.", "msg_1", 0), message("And more.", "msg_2", 1), completed()),
        "Hello.\n\nAnd more.",
    ),
    Odd(
        "text before a call and after it",
        "responses",
        (message("Hello.", "msg_1", 0), added(FUNCTION, 1), closed(FUNCTION, 1), completed()),
        "Hello.\n\nDone.",
        ("logs",),
    ),
    Odd(
        "two parts of reasoning",
        "responses",
        (
            event("output_item.added", item={"type": "reasoning", "id": "rs_1"}, output_index=0),
            event("reasoning_summary_text.delta", item_id="rs_1", summary_index=0, delta="One."),
            event("reasoning_summary_text.delta", item_id="rs_1", summary_index=1, delta="Two."),
            closed({"type": "reasoning", "id": "rs_1", "summary": []}),
            message("Hello.", "msg_1", 1),
            completed(),
        ),
        reasoning="One.\n\nTwo.",
    ),
    Odd(
        "<think> in the text",
        "responses",
        (said("<thi"), said("nk>Let me see.</th"), said("ink>\n\nHello."), completed()),
        reasoning="Let me see.",
    ),
    Odd(
        "usage that cannot be read",
        "responses",
        (said("Hello."), completed(usage={"input_tokens": 9.5, "output_tokens": [3]})),
    ),
    Odd("open behind the end", "responses", (said("Hello."), completed()), stays=True),
    fails("no money", "responses", event("failed", response=NO_MONEY), "quota_exceeded"),
    errs("a failure", event("failed", response={"error": {"code": "server_error"}})),
    errs("an error", sse({"type": "error", "code": "server_error"}, "error")),
    errs("an error in an error", sse({"type": "error", "error": {"code": "x"}})),
    errs("an error in a list", sse([{"error": {"code": 503, "message": "x"}}])),
)

"""Streams that servers are known to send, odd but whole ones and broken ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

Api = Literal["chat", "responses"]
BOM = b"\xef\xbb\xbf"
DONE = b"data: [DONE]\n\n"
DELETE = "delete_files"
LOGS = '{"folder": "logs"}'
NOT_WHOLE = ("interrupted", "incomplete", "failed")


@dataclass(frozen=True)
class Odd:
    """What comes, and what is made of it. `calls` are the folders that the tool was called
    with; after a call the model says "Done.". `stays`: the connection is left open."""

    name: str
    api: Api
    parts: tuple[bytes, ...]
    text: str = "Hello."
    calls: tuple[str, ...] = ()
    status: tuple[str, ...] = ("completed",)
    reason: str | None = None
    reasoning: str = ""
    stays: bool = False


def sse(payload: Any, event: str = "") -> bytes:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()


# ---------------------------------------------------------- Chat Completions


def delta(finish: str | None = None, **fields: Any) -> bytes:
    return sse({"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]})


def piece(
    arguments: Any = None, name: str | None = None, id: Any = None, index: int | None = 0
) -> bytes:
    function = {"name": name, "arguments": arguments}
    call: dict[str, Any] = {
        "function": {key: value for key, value in function.items() if value is not None}
    }
    if index is not None:
        call["index"] = index
    if id is not None:
        call["id"] = id
    return delta(tool_calls=[call])


HELLO = (delta(content="Hel"), delta(content="lo."))
STOP = (delta("stop"), DONE)
CALLED = (delta("tool_calls"), DONE)
WHOLE_CALL = piece(LOGS, DELETE, "call_1")
COUNTED = {"prompt_tokens": 9, "completion_tokens": 3}


def think(text: str, size: int) -> tuple[bytes, ...]:
    return tuple(delta(content=text[at : at + size]) for at in range(0, len(text), size))


def usage(value: Any) -> bytes:
    return sse({"choices": [], "usage": value})


def finishes(finish: str, status: tuple[str, ...], reason: str | None = None) -> Odd:
    parts = (*HELLO, delta(finish), DONE)
    return Odd(f"reason {finish}", "chat", parts, status=status, reason=reason)


def with_call(name: str, *pieces: bytes, calls: tuple[str, ...] = ("logs",), **more: Any) -> Odd:
    return Odd(name, "chat", (*pieces, *CALLED), text="Done.", calls=calls, **more)


def fails(name: str, error: bytes, *status: str, api: Api = "chat") -> Odd:
    return Odd(name, api, (error,), "", status=status)


def errs(name: str, error: bytes, api: Api = "chat") -> Odd:
    begun = HELLO if api == "chat" else (said("Hello."),)
    return Odd(name, api, (*begun, error), status=("interrupted",))


CHAT = (
    Odd("a byte order mark", "chat", (BOM + HELLO[0], HELLO[1], *STOP)),
    Odd("one event behind a byte order mark", "chat", (BOM + delta("stop", content="Hello."),)),
    Odd("the reason beside the last word", "chat", (HELLO[0], delta("stop", content="lo."), DONE)),
    Odd("an empty reason in each event", "chat", (delta("", content="Hello."), *STOP)),
    Odd("[DONE] without a reason", "chat", (*HELLO, DONE)),
    Odd("an end without anything", "chat", HELLO, status=("interrupted",)),
    *(finishes(name, ("completed",)) for name in ("eos", "eos_token", "end_turn", "stop_sequence")),
    *(
        finishes(name, ("incomplete",), "length")
        for name in ("model_length", "max_tokens", "MAX_TOKENS")
    ),
    *(finishes(name, ("incomplete",), "content_filter") for name in ("SAFETY", "sensitive")),
    *(
        finishes(name, ("interrupted",))
        for name in (
            "abort",
            "error",
            "malformed_function_call",
            "insufficient_system_resource",
            "a reason of tomorrow",
        )
    ),
    *(
        Odd(
            f"half a call, then {finish}",
            "chat",
            (*HELLO, piece("", DELETE, "call_1"), delta(finish), DONE),
            status=NOT_WHOLE,
        )
        for finish in ("abort", "MAX_TOKENS", "malformed_function_call", "length", "content_filter")
    ),
    Odd(
        "half a call, then [DONE]",
        "chat",
        (*HELLO, piece('{"folder": "lo', DELETE, "call_1"), DONE),
        status=NOT_WHOLE,
    ),
    Odd("a whole call, then [DONE]", "chat", (*HELLO, WHOLE_CALL, DONE), status=NOT_WHOLE),
    Odd("a whole call, then abort", "chat", (WHOLE_CALL, delta("abort"), DONE), "", (), NOT_WHOLE),
    with_call("an id that is a number", piece(LOGS, DELETE, 7)),
    with_call("no id", piece(LOGS, DELETE)),
    with_call("neither id nor index", piece(LOGS, DELETE, index=None)),
    with_call(
        "arguments in pieces without an index",
        piece('{"folder": ', DELETE, "call_1", None),
        piece('"logs"}', index=None),
    ),
    with_call(
        "two calls in pieces without an index",
        piece('{"folder": ', DELETE, "call_1", None),
        piece('"logs"}', index=None),
        piece('{"folder": ', DELETE, "call_2", None),
        piece('"tmp"}', index=None),
        calls=("logs", "tmp"),
    ),
    with_call(
        "one id for two calls",
        piece(LOGS, DELETE, "call_1"),
        piece('{"folder": "tmp"}', DELETE, "call_1", 1),
        calls=("logs", "tmp"),
    ),
    with_call(
        "two calls of one index",
        piece(LOGS, DELETE, "call_1"),
        piece('{"folder": "tmp"}', DELETE, "call_2"),
        calls=("logs", "tmp"),
    ),
    with_call(
        "a new id and an empty name with each piece",
        piece("", DELETE, "1"),
        piece('{"folder": ', "", "2"),
        piece('"logs"}', "", "3"),
    ),
    with_call(
        "a name in fragments",
        piece(None, "delete_", "call_1"),
        piece(None, "files"),
        piece(LOGS),
    ),
    with_call(
        "a name in fragments, with its id each time",
        piece(None, "delete_", "call_1"),
        piece(None, "files", "call_1"),
        piece(LOGS, None, "call_1"),
    ),
    with_call(
        "the name again with each piece",
        piece('{"folder":', DELETE, "call_1"),
        piece('"logs"}', DELETE, "call_1"),
    ),
    with_call("arguments as an object", piece({"folder": "logs"}, DELETE, "call_1")),
    with_call("empty arguments", piece("", DELETE, "call_1"), calls=("",)),
    with_call("no arguments", piece(None, DELETE, "call_1"), calls=("",)),
    with_call("arguments null", piece("null", DELETE, "call_1"), calls=("",)),
    with_call(
        "two calls without arguments",
        piece("", DELETE, "call_1", 0),
        piece("", DELETE, "call_2", 1),
        calls=("", ""),
    ),
    Odd(
        "the reason stop behind a call",
        "chat",
        (WHOLE_CALL, *STOP),
        "Done.",
        ("logs",),
    ),
    Odd(
        "the reason tool_use behind a call",
        "chat",
        (WHOLE_CALL, delta("tool_use"), DONE),
        "Done.",
        ("logs",),
    ),
    Odd(
        "text before a call and after it",
        "chat",
        (*HELLO, WHOLE_CALL, *CALLED),
        "Hello.\n\nDone.",
        ("logs",),
    ),
    *(
        Odd(f"usage with {name}", "chat", (*HELLO, delta("stop"), usage(value), DONE))
        for name, value in {
            "fractions": {"prompt_tokens": 9.5, "completion_tokens": 3.0},
            "words": {"prompt_tokens": "nine", "completion_tokens": "three"},
            "details in a list": {**COUNTED, "prompt_tokens_details": [{"cached_tokens": 1}]},
            "a list": [9, 3],
        }.items()
    ),
    Odd("open behind the reason", "chat", (*HELLO, delta("stop")), stays=True),
    Odd("open behind [DONE]", "chat", (*HELLO, *STOP), stays=True),
    Odd(
        "open behind a call",
        "chat",
        (WHOLE_CALL, delta("tool_calls")),
        "Done.",
        ("logs",),
        stays=True,
    ),
    errs("an error", sse({"error": {"message": "gone", "code": 500}})),
    errs("an error in a list", sse([{"error": {"code": 503, "status": "UNAVAILABLE"}}])),
    errs("a flat error", sse({"object": "error", "message": "gone", "code": 500})),
    errs("an event called error", sse({"message": "gone", "code": 500}, "error")),
    errs("a line called error", b'error: {"code": 500, "message": "gone"}\n\n'),
    fails("no money", sse({"error": {"code": "insufficient_quota"}}), "quota_exceeded"),
    fails(
        "no money, in a list", sse([{"error": {"code": "insufficient_quota"}}]), "quota_exceeded"
    ),
    fails("too much at once", sse([{"error": {"status": "RESOURCE_EXHAUSTED"}}]), "failed"),
    errs("an error as a reason", delta("error", content="")),
    *(
        Odd(
            f"<think> in pieces of {size}",
            "chat",
            (*think("<think>\nLet me see.\n</think>\n\nHello.", size), *STOP),
            reasoning="Let me see.",
        )
        for size in (1, 2, 3, 5, 7, 50)
    ),
    Odd(
        "<think> within a text",
        "chat",
        (*think("Write <think> and </think>.", 4), *STOP),
        "Write <think> and </think>.",
    ),
    Odd("a text that ends like a tag", "chat", (*think("1 <th", 2), *STOP), "1 <th"),
    Odd("a text that begins like a tag", "chat", (*think("<th>", 1), *STOP), "<th>"),
    Odd(
        "<think> that is never closed",
        "chat",
        (*think("<think>Let me", 4), delta("length"), DONE),
        "",
        status=("incomplete",),
        reason="length",
        reasoning="Let me",
    ),
)

# -------------------------------------------------------------- Responses API


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
    fails(
        "no money",
        event("failed", response={"error": {"code": "insufficient_quota"}}),
        "quota_exceeded",
        api="responses",
    ),
    errs("a failure", event("failed", response={"error": {"code": "server_error"}}), "responses"),
    errs("an error", sse({"type": "error", "code": "server_error"}, "error"), "responses"),
    errs("an error in an error", sse({"type": "error", "error": {"code": "x"}}), "responses"),
    errs("an error in a list", sse([{"error": {"code": 503, "message": "x"}}]), "responses"),
)

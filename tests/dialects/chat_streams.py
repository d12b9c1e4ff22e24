"""Streams of Chat Completions."""

from __future__ import annotations

from typing import Any

from tests.dialects.streams import BOM, DELETE, DONE, LOGS, NO_MONEY, NOT_WHOLE, Odd, fails, sse


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


def errs(name: str, error: bytes) -> Odd:
    """An error behind some text."""
    return Odd(name, "chat", (*HELLO, error), status=("interrupted",))


CHAT = (
    Odd("a byte order mark", "chat", (BOM + HELLO[0], HELLO[1], *STOP)),
    Odd("one event behind a byte order mark", "chat", (BOM + delta("stop", content="Hello."),)),
    Odd("the reason beside the last word", "chat", (HELLO[0], delta("stop", content="lo."), DONE)),
    Odd("an empty reason in each event", "chat", (delta("", content="Hello."), *STOP)),
    *(
        Odd(f"a stream called {kind}", "chat", (*HELLO, *STOP), content_type=kind)
        for kind in ("application/json", "text/plain")
    ),
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
    with_call(
        "two pieces of one call in one event",
        delta(
            tool_calls=[
                {"index": 0, "id": "call_1", "function": {"name": DELETE, "arguments": "{"}},
                {"index": 0, "function": {"arguments": '"folder": "logs"}'}},
            ]
        ),
    ),
    with_call(
        "the name again before the arguments",
        piece("", DELETE, "call_1"),
        piece("", DELETE, "call_1"),
        piece(LOGS, DELETE, "call_1"),
    ),
    with_call(
        "two calls in turns",
        piece('{"folder": ', DELETE, "call_1", 0),
        piece('{"folder": ', DELETE, "call_2", 1),
        piece('"logs"}', index=0),
        piece('"tmp"}', index=1),
        calls=("logs", "tmp"),
    ),
    with_call("no calls in other events", delta(tool_calls=[]), WHOLE_CALL, delta(tool_calls=None)),
    with_call("calls of nothing", delta(tool_calls=[None]), WHOLE_CALL, delta(tool_calls=[{}])),
    with_call("the reason twice", WHOLE_CALL, delta("tool_calls"), delta("stop")),
    with_call(
        "thoughts before a call, cut inside a character",
        *(delta(reasoning_content=half) for half in ("Hm ", "<d83d>", "<de00>")),
        WHOLE_CALL,
        reasoning="Hm 😀",
    ),
    with_call(
        "details of thoughts, cut inside a character",
        delta(reasoning_details=[{"type": "reasoning.text", "text": "<d83d>", "index": 0}]),
        WHOLE_CALL,
    ),
    with_call("empty arguments before the real ones", piece("{}", DELETE, "call_1"), piece(LOGS)),
    with_call(
        "all of the arguments again at the end",
        piece('{"folder": ', DELETE, "call_1"),
        piece('"logs"}'),
        piece(LOGS),
    ),
    with_call(
        "a call behind the reason, with a reason of its own",
        WHOLE_CALL,
        delta("tool_calls"),
        piece('{"folder": "tmp"}', DELETE, "call_2", 1),
        delta("tool_calls"),
        calls=("logs", "tmp"),
    ),
    Odd(
        "the reason tool_calls without a call",
        "chat",
        (*HELLO, delta("tool_calls"), DONE),
        status=NOT_WHOLE,
    ),
    Odd(
        "a call without a name",
        "chat",
        (*HELLO, piece(LOGS, None, "call_1"), *CALLED),
        status=NOT_WHOLE,
    ),
    Odd(
        "text beside a reason of tomorrow",
        "chat",
        (HELLO[0], delta("a reason of tomorrow", content="lo."), DONE),
        status=("interrupted",),
    ),
    Odd("no line behind the last event", "chat", (*HELLO, delta("stop").rstrip())),
    Odd("no line behind [DONE]", "chat", (*HELLO, DONE.rstrip())),
    Odd(
        "a whole message in place of pieces",
        "chat",
        (
            sse(
                {
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": "Hello."},
                            "finish_reason": "stop",
                        }
                    ]
                }
            ),
            DONE,
        ),
    ),
    Odd(
        "a whole message behind the pieces",
        "chat",
        (
            *HELLO,
            sse(
                {
                    "choices": [
                        {
                            "index": 0,
                            "delta": {},
                            "message": {"role": "assistant", "content": "Hello."},
                            "finish_reason": "stop",
                        }
                    ]
                }
            ),
            DONE,
        ),
    ),
    Odd(
        "the reason with each piece",
        "chat",
        (delta("stop", content="Hel"), delta("stop", content="lo."), DONE),
    ),
    with_call(
        "arguments cut inside a character",
        piece('{"folder": "<d83d>', DELETE, "call_1"),
        piece('<de00>"}'),
        calls=("😀",),
    ),
    with_call(
        "deep arguments",
        piece('{"folder": "logs", "x": ' + '{"a":' * 300 + "1" + "}" * 301, DELETE, "call_1"),
        calls=(),
    ),
    with_call(
        "indexes that are strings",
        piece(LOGS, DELETE, "call_1", "0"),
        piece('{"folder": "tmp"}', DELETE, "call_2", "1"),
        calls=("logs", "tmp"),
    ),
    with_call(
        "arguments as objects, neither ids nor indexes",
        piece({"folder": "logs"}, DELETE, None, None),
        piece({"folder": "tmp"}, DELETE, None, None),
        calls=("logs", "tmp"),
    ),
    with_call("white space around arguments", piece("  \n" + LOGS + "\n ", DELETE, "call_1")),
    with_call("arguments encoded twice", piece('"{\\"folder\\": \\"logs\\"}"', DELETE, "call_1")),
    with_call("a space before the name", piece(LOGS, " delete_files", "call_1")),
    with_call(
        "functions. before the name", piece(LOGS, "functions.delete_files", "call_1"), calls=()
    ),
    Odd("a refusal", "chat", (delta(refusal="Hello."), *STOP)),
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
    fails("no money", "chat", sse(NO_MONEY), "quota_exceeded"),
    fails("no money, in a list", "chat", sse([NO_MONEY]), "quota_exceeded"),
    fails("too much", "chat", sse([{"error": {"status": "RESOURCE_EXHAUSTED"}}]), "failed"),
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
        "<think> behind an empty line",
        "chat",
        (*think("\n<think>Let me see.</think>Hello.", 4), *STOP),
        reasoning="Let me see.",
    ),
    Odd("<think> without a thought", "chat", (*think("<think>\n\n</think>\n\nHello.", 3), *STOP)),
    Odd(
        "<think> before a call",
        "chat",
        (*think("<think>Let me see.</think>", 4), WHOLE_CALL, *CALLED),
        "Done.",
        ("logs",),
        reasoning="Let me see.",
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

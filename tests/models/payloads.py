"""The bytes of both APIs' answers."""

from __future__ import annotations

import json
from typing import Any, Literal

Api = Literal["chat", "responses"]


def sse(*payloads: Any) -> list[bytes]:
    return [
        b"data: %s\n\n"
        % (p if isinstance(p, bytes) else json.dumps(p, ensure_ascii=False).encode())
        for p in payloads
    ]


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
    return {**base, "choices": [choice]}


def said(api: Api, *texts: str) -> list[bytes]:
    """The bytes of some text that has not ended yet."""
    if api == "chat":
        return sse(*(delta(content=text) for text in texts))
    return sse(*({"type": "response.output_text.delta", "delta": text} for text in texts))


def ended(api: Api) -> list[bytes]:
    if api == "chat":
        return sse(delta("stop"), b"[DONE]")
    return sse({"type": "response.completed", "response": {"output": []}})


def called(
    api: Api, name: str, arguments: str, *, whole: bool = True, id: str = "c1"
) -> list[bytes]:
    """The bytes of a call: only begun, or with the end of the answer that asks for it."""
    if api == "chat":
        function = {"name": name, "arguments": arguments}
        begun = sse(delta(tool_calls=[{"index": 0, "id": id, "function": function}]))
        return begun + (sse(delta("tool_calls"), b"[DONE]") if whole else [])
    item = {"type": "function_call", "id": f"fc_{id}", "name": name}
    begun = sse({"type": "response.output_item.added", "output_index": 0, "item": item})
    done = {"type": "response.output_item.done", "output_index": 0}
    rest = sse({**done, "item": {**item, "arguments": arguments, "status": "completed"}})
    return begun + (rest + ended(api) if whole else [])


def counted(api: Api, read: int, written: int) -> list[bytes]:
    """The end of an answer, with its usage."""
    if api == "chat":
        usage = {"prompt_tokens": read, "completion_tokens": written}
        return sse(delta("stop"), {**delta(), "choices": [], "usage": usage}, b"[DONE]")
    usage = {"input_tokens": read, "output_tokens": written}
    return sse({"type": "response.completed", "response": {"output": [], "usage": usage}})


def cut_short(api: Api, reason: str) -> list[bytes]:
    """The end of an answer that is not whole: `length` or `content_filter`."""
    if api == "chat":
        return sse(delta(reason), b"[DONE]")
    reason = "max_output_tokens" if reason == "length" else reason
    response = {"output": [], "incomplete_details": {"reason": reason}}
    return sse({"type": "response.incomplete", "response": response})

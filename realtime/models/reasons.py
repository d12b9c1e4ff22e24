from typing import Literal

Reason = Literal["stop", "tool_calls", "length", "content_filter"]
REASONS: dict[str, Reason] = {
    "stop": "stop",
    "eos": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}


def reason(text: str) -> Reason | None:
    return REASONS.get(text.lower())

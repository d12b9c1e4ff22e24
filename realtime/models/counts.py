"""Token counts as providers report them. A figure that cannot be read is left out, no error."""

from __future__ import annotations

from typing import Any

from ..protocol import Usage


def usage_of(value: Any) -> Usage | None:
    """The `usage` object of either API; None where it counts nothing."""
    if not isinstance(value, dict):
        return None
    read = _count(value, "input_tokens", "prompt_tokens")
    written = _count(value, "output_tokens", "completion_tokens")
    if not read and not written:
        return None
    given = _details(value, "input_tokens_details", "prompt_tokens_details")
    made = _details(value, "output_tokens_details", "completion_tokens_details")
    return Usage(
        input_tokens=read or 0,
        output_tokens=written or 0,
        reasoning_tokens=_count(made, "reasoning_tokens"),
        cached_tokens=_count(given, "cached_tokens"),
        cache_write_tokens=_count(given, "cache_write_tokens", "cache_creation_tokens"),
    )


def _details(value: dict[str, Any], *names: str) -> dict[str, Any]:
    found = next((value[name] for name in names if isinstance(value.get(name), dict)), None)
    return found or {}


def _count(value: dict[str, Any], *names: str) -> int | None:
    for name in names:
        count = value.get(name)
        if isinstance(count, str) and count.isascii() and count.isdigit() and len(count) < 16:
            count = int(count)
        if isinstance(count, int | float) and not isinstance(count, bool) and 0 <= count < 1e15:
            return int(count)
    return None

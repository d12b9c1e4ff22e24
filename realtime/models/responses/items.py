"""The items of an answer, once they are whole."""

from __future__ import annotations

from typing import Any

from .. import ModelEvent, Thought


def said_in(item: dict[str, Any]) -> str:
    """The text of a whole message."""
    texts = [part.get("text") or part.get("refusal") for part in parts_of(item)]
    return "".join(text for text in texts if isinstance(text, str))


def parts_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    parts = item.get("content")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def thought_of(item: dict[str, Any]) -> list[ModelEvent]:
    """A reasoning item as the next request sends it back; none where the provider keeps it to
    itself."""
    if not item.get("encrypted_content"):
        return []
    names = ("type", "id", "summary", "encrypted_content")
    return [Thought({name: item[name] for name in names if name in item})]

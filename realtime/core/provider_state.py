"""Provider state: what a model's provider wants back with the events of an answer. No I/O.

Signatures, encrypted reasoning, the thoughts before a call: opaque, and of use only to the model
that wrote them. It is stored beside a tool call, or beside the `done` of an answer that ends with
text, and belongs to the part of the answer since the call before.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..models.fitting import NO_THOUGHT
from ..protocol import (
    MAX_PROVIDER_STATE,
    Done,
    ToolCall,
    keep_provider_state,
    provider_state,
)

_MUST_BE_THERE = "reasoning_content"
"""A thought that its provider insists on, whatever it says."""


class ProviderState(msgspec.Struct, omit_defaults=True):
    """`by`: the label of the model. `id`: its own name of the call, `extra`: what stood beside
    it. `thoughts`: each with its place in the text of the message, in UTF-16 units."""

    by: str
    id: str | None = None
    extra: dict[str, Any] | None = None
    thoughts: list[tuple[int, dict[str, Any]]] = []


def keep(event: ToolCall | Done, state: ProviderState) -> None:
    """Keep the state with the event. Over 64 KB only what must not be missing is kept."""
    data = _encoded(state)
    if data and len(data) > MAX_PROVIDER_STATE:
        thoughts = [
            (at, {_MUST_BE_THERE: NO_THOUGHT}) for at, t in state.thoughts if _MUST_BE_THERE in t
        ]
        data = _encoded(ProviderState(state.by, state.id, None, thoughts))
    keep_provider_state(event, data)


def _encoded(state: ProviderState) -> bytes | None:
    something = state.id is not None or state.extra or state.thoughts
    return msgspec.json.encode(state) if something else None


def kept(event: ToolCall | Done) -> ProviderState | None:
    """The state that is kept with an event; None where there is none that can be read."""
    data = provider_state(event)
    try:
        return msgspec.json.decode(data, type=ProviderState) if data else None
    except msgspec.DecodeError:
        return None

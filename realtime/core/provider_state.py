"""Provider state: what a model's provider wants back with the events of an answer. No I/O.

Signatures, encrypted reasoning, the thoughts before a call: opaque, and of use only to the model
that wrote them. It is stored beside a tool call, or beside the `done` of an answer that ends with
text, and belongs to the part of the answer since the call before. Beside a `run` event stands where
the answer that follows is kept (`held`).
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from ..models.fitting import NO_THOUGHT
from ..protocol import Done, Event, Run, ToolCall

logger = logging.getLogger(__name__)

MAX_PROVIDER_STATE = 64 * 1024
"""Bytes of what one event may keep for the model's provider."""

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


def provider_state(event: Event) -> bytes | None:
    """JSON that the model's provider wants back with this event later. It is stored beside the
    payload and never encoded with it, so no device and no export can get it."""
    state: bytes | None = getattr(event, "_provider_state", None)
    return state


def keep_provider_state(event: ToolCall | Done | Run, state: bytes | None) -> None:
    """A copy of the event (`msgspec.structs.replace`) is without it. A state over
    `MAX_PROVIDER_STATE` is dropped; the event stays."""
    if state is None:
        return
    if len(state) > MAX_PROVIDER_STATE:
        logger.debug("dropped provider state of %d bytes (too large)", len(state))
        return
    event._provider_state = state  # type: ignore[union-attr]

"""An answer that its provider keeps: what it takes to read the rest of it after a crash. No I/O.

It is provider state of a `run` event that comes before the first word of the answer.
"""

from __future__ import annotations

import msgspec

from ..protocol import Run, TextKind, Usage
from .provider_state import keep_provider_state, provider_state


class Held(msgspec.Struct, omit_defaults=True):
    """`id`: the provider's name of the answer. `by`: the label of the model. The rest is how the
    message stood before: the length of its text and reasoning in UTF-16 units, how many calls it
    had, what the run had used, and of which kinds the text begins a paragraph (`apart`)."""

    id: str
    by: str
    text: int
    reasoning: int
    calls: int
    apart: list[TextKind]
    used: Usage


def hold(event: Run, held: Held) -> None:
    keep_provider_state(event, msgspec.json.encode(held))


def held_in(event: Run) -> Held | None:
    """None where there is none that can be read."""
    data = provider_state(event)
    try:
        return msgspec.json.decode(data, type=Held) if data else None
    except msgspec.DecodeError:
        return None

"""What an answer comes to that is held to a schema."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..protocol import Error
from ..tools import in_thread, value_of
from .outcome import Outcome


async def held_to(schema: dict[str, Any] | None, text: str, outcome: Outcome) -> Outcome:
    """The outcome of a whole answer with its value; of one that does not fit, with what is
    wrong."""
    if schema is None or outcome.status != "completed":
        return outcome
    found = await in_thread(partial(value_of, text, schema))
    if found.problem:
        outcome.status = "incomplete"
        why = f"the answer does not fit the schema: {found.problem}"
        outcome.error = Error("invalid_value", why[:1000])
    else:
        outcome.value = found.value
    return outcome

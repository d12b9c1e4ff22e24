"""How long a model may take, whoever wrote it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from ..models import Model, ModelEvent, Request, TextDelta
from ..models.errors import failure
from ..models.reading import ends_sentence


class Patience(msgspec.Struct, frozen=True):
    """Seconds: `first_s` to the first of an answer, `think_s` from one part to the next while the
    model may reason or write a call, `stall_s` the same inside a sentence, `total_s` for all."""

    first_s: float = 30
    think_s: float = 120
    stall_s: float = 20
    total_s: float = 600


async def timed(
    model: Model, request: Request, patience: Patience
) -> AsyncGenerator[list[ModelEvent], None]:
    """The answer of a model, with a limit on each wait for it. An empty list is a sign of life.
    Raises `ModelError`, of the kind `timeout` at a limit."""
    now = asyncio.get_running_loop().time
    end = now() + patience.total_s
    wait, tail = patience.first_s, ""
    async with aclosing(model.stream(request)) as answer:
        while True:
            try:
                async with asyncio.timeout_at(min(end, now() + wait)):
                    events = await anext(answer)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise failure("timeout") from None
            yield events
            wait = max(patience.think_s, patience.first_s)
            for event in events:
                tail = (tail + event.text)[-16:] if isinstance(event, TextDelta) else ""
            if tail and not ends_sentence(tail):
                wait = patience.stall_s

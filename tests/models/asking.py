"""What the tests of the OpenAI client ask, and how they read its answers."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from realtime.models import (
    Finished,
    ModelError,
    ModelEvent,
    Request,
    TextDelta,
    ToolCallReady,
    ToolSpec,
    UserText,
)
from realtime.models.openai import OpenAIModel
from realtime.protocol import Usage

KEY = "sk-test-do-not-leak"
SECRET = "my private question"
WEATHER = ToolSpec("weather", "Tells the weather.", {"type": "object", "properties": {}})
Make = Callable[..., OpenAIModel]
both = pytest.mark.parametrize("api", ["chat", "responses"])


def ask(text: str = SECRET, *tools: ToolSpec) -> Request:
    return Request("Be kind.", (UserText(text),), tools)


async def collect(model: OpenAIModel, request: Request | None = None) -> list[ModelEvent]:
    return [e async for events in model.stream(request or ask()) for e in events]


async def fails(model: OpenAIModel) -> tuple[list[ModelEvent], ModelError]:
    """What came before the error, and the error. Nothing private is in either."""
    events: list[ModelEvent] = []

    async def read() -> None:
        async for batch in model.stream(ask()):
            events.extend(batch)

    with pytest.raises(ModelError) as caught:
        await read()
    error = caught.value
    told = "".join(traceback.format_exception(error, chain=True)) + f"{vars(error)}"
    for secret in (KEY, SECRET):
        assert secret not in told
    return events, error


def whole(events: list[ModelEvent]) -> dict[str, Any]:
    """The sum of an answer, whatever pieces it came in."""
    texts = [e for e in events if isinstance(e, TextDelta)]
    return {
        "text": "".join(e.text for e in texts if e.kind == "text"),
        "reasoning": "".join(e.text for e in texts if e.kind == "reasoning"),
        "calls": [(e.name, e.arguments) for e in events if isinstance(e, ToolCallReady)],
        "usage": [e for e in events if isinstance(e, Usage)],
        "finished": [e.reason for e in events if isinstance(e, Finished)],
    }

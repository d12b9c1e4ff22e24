"""A model whose answers a test plays, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from realtime.models import (
    Finished,
    ModelError,
    ModelEvent,
    Request,
    TextDelta,
    ToolCallReady,
    Usage,
)

Script = list[list[ModelEvent] | ModelError | asyncio.Event]


class ScriptedModel:
    """Plays one script a call, the last one again and again. An `asyncio.Event` in a script
    is waited for. `requests` are what was asked, `closed` how many streams were closed early."""

    name = "scripted"
    label = "scripted"

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.requests: list[Request] = []
        self.closed = 0

    async def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        self.requests.append(request)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            for part in script:
                if isinstance(part, asyncio.Event):
                    await part.wait()
                elif isinstance(part, ModelError):
                    raise part
                else:
                    yield part
        except (asyncio.CancelledError, GeneratorExit):
            self.closed += 1
            raise

    async def check(self) -> None:
        pass

    async def close(self) -> None:
        pass


def says(*words: str) -> Script:
    return [[TextDelta(word)] for word in words] + [[Usage(1, len(words)), Finished("stop")]]


def asks(*calls: tuple[str, str]) -> Script:
    """Calls of tools, by name and arguments."""
    ready = [ToolCallReady(str(n), name, arguments) for n, (name, arguments) in enumerate(calls)]
    return [[*ready, Finished("tool_calls")]]

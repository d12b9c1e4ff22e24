"""What a run tells of itself to whoever traces it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from ..models import Model
from ..protocol import Done, ToolCall, Usage

NO_HEADERS: Mapping[str, str] = {}


class Trace:
    """One run, while it is carried out. This one is for runs that nobody traces."""

    parent: str | None = None
    """The `traceparent` of what follows from the run."""

    def enter(self) -> None:
        """What the current task does from now on belongs to the run."""

    def model(self, model: Model) -> AbstractContextManager[Mapping[str, str]]:
        """A model is called. Gives the headers by which its requests name the call."""
        return nullcontext(NO_HEADERS)

    def spoke(self) -> None:
        """The first of the model's answer has come."""

    def used(self, usage: Usage) -> None:
        """The provider's count of the call."""

    def finished(self, reason: str) -> None:
        """The model said why it is done."""

    def waits(self, call: ToolCall) -> AbstractContextManager[None]:
        """A tool call waits for a person, or for a device."""
        return nullcontext()

    def tool(self, call: ToolCall) -> AbstractContextManager[None]:
        """A tool call is made. What the current task does from now on belongs to it."""
        return nullcontext()

    def ended(self, done: Done, commit: asyncio.Future[None]) -> None:
        """The run has ended. `commit`: that of its `done`."""

    def left(self) -> None:
        """The run is not carried out here any more; nothing where it had ended."""


NOBODY = Trace()

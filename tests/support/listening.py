"""A subscriber of a log, for tests of the log by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from realtime.core.rows import StorageError
from realtime.log.encode import Append
from realtime.protocol import Event


class Heard:
    """Keeps all that the log says."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.appends = 0
        self.lost: list[set[str]] = []
        self.is_repaired = asyncio.Event()
        self.on_events: Callable[[list[Event]], None] = lambda events: None

    def published(self, append: Append) -> None:
        self.events += append.events
        self.appends += 1
        self.on_events(list(append.events))

    def discarded(self, session_ids: set[str], error: StorageError) -> None:
        self.lost.append(session_ids)

    async def repaired(self) -> None:
        self.is_repaired.set()

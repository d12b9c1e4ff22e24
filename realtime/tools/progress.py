"""How far a call is, told to the devices as often as they can read it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from ..protocol import clean_text

EVERY_S = 0.2
MAX_MESSAGE = 200


class Reporter:
    """Reports of one call. It may be called from any thread; `send` is called on the loop,
    at most every `EVERY_S`, and for the last report in any case."""

    def __init__(self, send: Callable[[float | None, str | None], None]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._latest: tuple[float | None, str | None] | None = None
        self._due = False  # whether a flush is on its way: one at a time, however many reports
        self._next = 0.0
        self._over = False

    def report(self, fraction: float | None, message: str | None) -> None:
        if fraction is not None:
            fraction = None if math.isnan(fraction) else round(min(max(fraction, 0.0), 1.0), 4)
        if message is not None:
            message = clean_text(message[:MAX_MESSAGE])
        self._latest = (fraction, message)
        if not self._due and not self._over:
            self._due = True
            try:
                self._loop.call_soon_threadsafe(self._flush)
            except RuntimeError:  # the loop has gone
                self._over = True

    def _flush(self) -> None:
        if self._over:
            return
        now = self._loop.time()
        if now < self._next:
            self._loop.call_at(self._next, self._flush)
            return
        self._next = now + EVERY_S
        self._due = False
        self._tell()

    def _tell(self) -> None:
        latest, self._latest = self._latest, None
        if latest:
            self._send(*latest)

    def finish(self) -> None:
        """The call is over: tell the last report, and nothing that comes later."""
        if not self._over:
            self._over = True
            self._tell()

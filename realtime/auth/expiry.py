"""A socket must not outlive its token by much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from .tokens import LEEWAY_S

WARN_S = 60
CLOSE_S = LEEWAY_S - 2
"""After expiry. Later than the leeway would be too long; much sooner, and the same token
would be taken again by the reconnect, and the socket closed again, round and round."""


class Expiry:
    """Calls `warn` a minute before a token expires, and `close` at the end of its leeway.

    The timers run on the monotonic clock: a step of the wall clock drops nobody.
    """

    def __init__(self, warn: Callable[[], None], close: Callable[[], None]) -> None:
        self._warn = warn
        self._close = close
        self._timers: list[asyncio.TimerHandle] = []

    def watch(self, exp: int | None) -> None:
        """From now on the token that counts is this one."""
        self.cancel()
        if exp is None:
            return
        loop = asyncio.get_running_loop()
        left = exp - time.time()
        self._timers = [
            loop.call_later(max(0.0, left - WARN_S), self._warn),
            loop.call_later(max(0.0, left + CLOSE_S), self._close),
        ]

    def cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []

"""Who watches a session, since when nobody does, and what is due then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Presence:
    """The devices of one session, and the one timer that runs while there are none."""

    def __init__(self) -> None:
        self.devices: set[str] = set()
        self._alone_since = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._about: str | None = None

    def enter(self, sid: str) -> None:
        self.devices.add(sid)
        self.cancel()

    def leave(self, sid: str) -> None:
        self.devices.discard(sid)
        if not self.devices:
            self.excuse()

    def excuse(self) -> None:
        """Until now nobody was missed."""
        self._alone_since = time.monotonic()

    @property
    def alone_s(self) -> float:
        """For how long nobody has watched."""
        return time.monotonic() - self._alone_since

    def after(self, seconds: float, about: str, action: Callable[[], None]) -> None:
        """Act after so long. What is due about the same stays due when it was."""
        if self._timer and self._about == about:
            return
        self.cancel()
        self._about = about

        def due() -> None:
            self._timer = None
            action()

        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), due)

    def cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

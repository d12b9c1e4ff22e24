"""How the engine does, looked at once a second, and what was counted of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...core.rows import StorageError
from .line import EngineError, Line

LOOK_S = 1.0
NOTICED_S = 0.5
"""An answer may take so long. Where a commit waits longer, nothing new is taken."""

AWAY_S = 2.0
"""After so long without an answer the engine counts as away, even while nobody writes."""

FULL = 0.85
"""Of the engine's maxmemory: above that nothing new is taken."""

logger = logging.getLogger(__name__)


@dataclass
class HotCount:
    """Since this worker's start. `fenced`: sessions that others wrote by the time of a commit;
    `resent`: events put back into an engine that had lost them; `healed`: gaps in what was told
    of sessions shown here; `forwarded`: commands for sessions that others write."""

    fenced: int = 0
    resent: int = 0
    healed: int = 0
    forwarded: int = 0


class Pulse:
    """`full` says why nothing new should be taken, while that is so. In bytes, `used` and `most`
    (0: no bound); `workers`: how many are heard of. `unanswered`: why a commit waits, while one
    does. `on_away` hears when the engine is away, and when it is back."""

    def __init__(self, line: Line, prefix: str) -> None:
        self.full: StorageError | None = None
        self.unanswered: StorageError | None = None
        self.on_away: Callable[[bool], None] = lambda away: None
        self.rtt_ms = 0.0
        self.used = 0
        self.most = 0
        self.workers = 0
        self._line = line
        self._prefix = prefix
        self._asked: float | None = None  # since when no answer has come
        self._away_s = 0.0
        self._told = False

    async def look(self) -> None:
        """Raises `StorageError`."""
        begun = time.monotonic()
        self._asked = self._asked or begun
        now = await self._line.time_ms()
        self.rtt_ms = (time.monotonic() - begun) * 1000
        if (waited := time.monotonic() - self._asked) > NOTICED_S:
            self._away_s += waited
        self._asked = None
        self.workers = await self._line.call("ZCOUNT", f"{self._prefix}workers", now, "+inf")
        try:
            told: bytes = await self._line.call("INFO", "memory")
        except EngineError:
            return  # a host that does not let us look
        pairs = (line.partition(b":") for line in told.splitlines())
        info = {name: value for name, _, value in pairs}
        self.used, self.most = (int(info.get(key, 0)) for key in (b"used_memory", b"maxmemory"))
        self.full = None
        if self.most and self.used > FULL * self.most:
            self.full = StorageError(
                f"the store that this server shares with others is nearly full ({self.used} of "
                f"{self.most} bytes)"
            )

    @property
    def away(self) -> StorageError | None:
        """Why nothing new should be taken, while the engine does not answer."""
        silent = self.away_s > AWAY_S
        return self.unanswered or (StorageError("the engine does not answer") if silent else None)

    def tell(self) -> None:
        """Have those hear who should know whether it is away."""
        if bool(why := self.away) != self._told:
            self._told = bool(why)
            logger.warning("the engine is away: %s" if why else "the engine is back%s", why or "")
            self.on_away(bool(why))

    @property
    def away_s(self) -> float:
        """So long no answer has come, in seconds. 0: all is well."""
        waited = time.monotonic() - self._asked if self._asked else 0.0
        return waited if waited > NOTICED_S else 0.0

    @property
    def away_total_s(self) -> float:
        return self._away_s + self.away_s

    def report(self) -> dict[str, Any]:
        """`status` is `ok`, `away` or `full`."""
        report: dict[str, Any] = {
            "status": "away" if self.away_s or self.away else "full" if self.full else "ok",
            "away_s": round(self.away_s, 1),
            "rtt_ms": round(self.rtt_ms, 1),
            "memory": {"used": self.used, "max": self.most},
            "workers": self.workers,
        }
        return report | ({"why": str(self.full)} if self.full else {})

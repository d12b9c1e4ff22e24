"""Log lines about clients: each at most once in a period, however often it happens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

MINUTE_S, HOUR_S = 60.0, 3600.0
MOST = 100  # lines in a period

logger = logging.getLogger(__name__)


class Notices:
    """Says each thing once in `period_s`, and at most `MOST` things in that time, so neither the
    log nor the memory grows with what clients do."""

    def __init__(
        self, period_s: float = MINUTE_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._period = period_s
        self._clock = clock
        self._said: dict[Hashable, float] = {}  # when, the oldest first

    def due(self, *thing: Hashable) -> bool:
        """Whether to say it now."""
        now = self._clock()
        for said, at in list(self._said.items()):
            if now - at < self._period:
                break
            del self._said[said]
        if thing in self._said or len(self._said) >= MOST:
            return False
        self._said[thing] = now
        return True

    def refused(self, remote: str | None, why: str) -> None:
        """A client was turned away. `why` holds nothing that it sent."""
        if self.due(remote, why):
            logger.info("refused: %s", why, extra={"remote": remote})

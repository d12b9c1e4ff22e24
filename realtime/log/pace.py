"""How the log keeps its time, and what it has done."""

from __future__ import annotations

from math import exp

from ..core.histogram import Histogram

COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Pace:
    """How long to rest after a flush, so that the next comes when its time is: at once up to
    some hundred events a second, 15 ms after the last at 3,000, never more than 33 ms. The
    longer the flushes themselves take, the less of that is rest; at full load there is none.

    While the loop rests, what arrives gathers in the kernel, and is then taken, committed and
    sent in one go. To wake up for each token costs half as much again as the token itself.
    """

    MEMORY_S = 0.25
    LEAST_S = 0.001
    MOST_S = 0.033
    S_PER_RATE = 1 / 200_000

    def __init__(self) -> None:
        self.woke = 0.0  # when the last rest ended
        self._last = 0.0
        self._rate = 0.0  # events a second, lately

    def rest(self, now: float, events: int) -> float:
        """Seconds to rest at `now`, after a flush of so many events."""
        passed = max(now - self._last, 1e-4)
        busy = now - max(self.woke, self._last)
        self._last = now
        self._rate += (1 - exp(-passed / self.MEMORY_S)) * (events / passed - self._rate)
        seconds = min(self.MOST_S, self._rate * self.S_PER_RATE) - busy
        return seconds if seconds >= self.LEAST_S else 0.0


class LogCount:
    """What the log has done since the start. `commit_s`: how long its commits took, until what they
    stored was published. `rest_s`: seconds between them."""

    def __init__(self) -> None:
        self.events = self.failures = 0
        self.commit_s = Histogram(COMMIT_S)
        self.rest_s = 0.0

    @property
    def flushes(self) -> int:
        return self.commit_s.count

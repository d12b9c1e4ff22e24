"""How often anybody may do something: a token bucket for each of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil

from ..protocol import ProtocolError

MINUTE_S, DAY_S = 60, 86400
SWEPT = 1024  # that many keys are kept without a look at whether they are needed
SLACK_S = 1e-6


class Buckets:
    """`count` of `what` at once for each key, refilled evenly within `period_s`; 0: any number.

    A bucket is one number: when it will be full again. Those that are full are forgotten,
    so no more are kept than were taken from within a period. `clock` gives seconds and
    never goes back.
    """

    def __init__(
        self,
        count: float,
        period_s: float,
        what: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._step = period_s / count if count else 0.0
        self._period = period_s
        self._what = what
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._sweep_at = SWEPT

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> float:
        """0: one was taken. Else the seconds until there is one, and nothing was taken."""
        if not self._step:
            return 0.0
        now = self._clock()
        full_at = max(now, self._full_at.get(key, now)) + self._step
        wait = full_at - now - self._period
        if wait > SLACK_S:
            return wait
        self._full_at[key] = full_at
        if len(self._full_at) > self._sweep_at:
            self._full_at = {key: at for key, at in self._full_at.items() if at > now}
            self._sweep_at = max(SWEPT, 2 * len(self._full_at))
        return 0.0

    def spend(self, key: str) -> None:
        """Take one. Raises `rate_limited`."""
        if wait := self.take(key):
            raise rate_limited(f"too many {self._what}; slow down", wait)

    async def admit(self, key: str) -> None:
        """As `spend`, where somebody else may have to be asked."""
        self.spend(key)


def rate_limited(message: str, wait_s: float) -> ProtocolError:
    return ProtocolError(
        "rate_limited", message, retryable=True, retry_after_ms=max(1, ceil(wait_s * 1000))
    )

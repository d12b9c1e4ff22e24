"""What all workers together allow: budgets of a day, and how often a user may do something."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..limits.buckets import rate_limited
from ..limits.budget import Amount, Budget, may_be_used_up
from ..live.errors import storage_unavailable
from ..log.hot.line import Away, Line, until_answered
from ..log.hot.records import NANO, day_of
from ..log.hot.scripts import Script

_spend, _take = Script("spend"), Script("take")


class SharedBudget(Budget):
    """A budget that other workers draw on too. What they spent is known here as of the last call
    of a model; each call is checked and reserved in the engine, where its `done` is counted."""

    def __init__(self, line: Line, prefix: str, **limits: Any) -> None:
        super().__init__(**limits)
        self._line = line
        self._prefix = prefix

    async def confirm(
        self, users: Sequence[str], run_id: str, most: Amount, *, used: Amount
    ) -> None:
        self.reserve(users, run_id, most)
        limits = self._limits(users)
        if all(limit == Amount() for _, _, limit in limits):
            return
        asked: list[str | int] = []
        for who, _, limit in limits:
            asked += (who, limit.tokens, _nano(limit.dollars))
        amounts = (most.tokens, _nano(most.dollars), used.tokens, _nano(used.dollars))
        call = partial(_spend, self._line, self._prefix, day_of(self._now_ms()), run_id, *amounts)
        refused, why, *totals = await until_answered(partial(call, *asked))
        for (who, _, _), tokens, nano in zip(limits, totals[::2], totals[1::2], strict=True):
            self._spent[who] = Amount(int(tokens), int(nano) / NANO)
        if refused:
            name = limits[refused - 1][1]
            raise self.used_up(name) if why == b"spent" else may_be_used_up(name)

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)


class SharedBuckets:
    """As `Buckets`, for all workers."""

    def __init__(self, line: Line, prefix: str, count: float, period_s: float, what: str) -> None:
        self._count = count
        self._period_ms = round(period_s * 1000)
        self._what = what
        self._line = line
        self._prefix = prefix

    async def admit(self, key: str) -> None:
        """Take one. Raises `rate_limited`, and `storage_unavailable` where nobody can count."""
        if not self._count:
            return
        step = round(self._period_ms / self._count)
        asked = (f"{self._what}:{key}", step, self._period_ms)
        try:
            wait = await _take(self._line, self._prefix, *asked)
        except Away:
            raise storage_unavailable() from None
        if wait:
            raise rate_limited(f"too many {self._what}; slow down", wait / 1000)


def _nano(dollars: float) -> int:
    return round(dollars * NANO)

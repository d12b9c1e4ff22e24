"""What all workers together allow: budgets of a day, runs at once, and how often a user may do
something."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from ..core.rows import StorageError
from ..limits.buckets import rate_limited
from ..limits.budget import (
    SERVER,
    WHOSE_ANSWERS,
    Amount,
    Budget,
    amount_of,
    may_be_used_up,
    too_many_runs,
)
from ..live.errors import storage_unavailable
from ..log.hot.line import Away, Line, until_answered
from ..log.hot.records import NANO, day_of
from ..log.hot.scripts import Script
from ..protocol import Usage

_spend, _settle, _take = Script("spend"), Script("settle"), Script("take")


class SharedBudget(Budget):
    """A budget that other workers draw on too. What they spent is known here as of the last call
    of a model; each call is checked and reserved in the engine, where its `done` is counted, or
    `settle_apart`. So are runs: those here refuse a message, those elsewhere end the run before
    its model is asked. An engine that has lost what was spent is told what was known of it."""

    def __init__(self, line: Line, prefix: str, **limits: Any) -> None:
        super().__init__(**limits)
        self._line = line
        self._prefix = prefix
        self._known: tuple[str, dict[str, tuple[int, int]]] = ("", {})  # of a day, by who pays
        self._tasks: set[asyncio.Task[None]] = set()

    async def confirm(
        self, users: Sequence[str], session_id: str, run_id: str, most: Amount, *, used: Amount
    ) -> None:
        self.reserve(users, run_id, most)
        is_run = " " not in run_id  # but a title, or a summary
        limits = [
            (who, name, limit, self._most_runs(who) if who and is_run else 0)
            for who, name, limit in self._limits(users)
        ]
        if not any(runs or limit != Amount() for _, _, limit, runs in limits):
            return
        day = day_of(self._now_ms())
        if self._known[0] != day:
            self._known = day, {}
        known = self._known[1]
        asked: list[str | int] = [session_id]
        for who, _, limit, runs in limits:
            asked += (who, limit.tokens, _nano(limit.dollars), runs, *known.get(who, (0, 0)))
        amounts = (most.tokens, _nano(most.dollars), used.tokens, _nano(used.dollars))
        call = partial(_spend, self._line, self._prefix, day, run_id, *amounts)
        refused, why, *totals = await until_answered(partial(call, *asked))
        for (who, *_), tokens, nano in zip(limits, totals[::2], totals[1::2], strict=True):
            known[who] = int(tokens), int(nano)
            self._spent[who] = Amount(int(tokens), int(nano) / NANO)
        if refused:
            _, name, _, runs = limits[refused - 1]
            match why:
                case b"spent":
                    raise self.used_up(name)
                case b"runs":
                    raise too_many_runs(runs, WHOSE_ANSWERS[refused - 1])
            raise may_be_used_up(name)

    def settle_apart(self, users: Sequence[str], run_id: str, usage: Usage) -> None:
        super().settle_apart(users, run_id, usage)
        task = asyncio.create_task(self._free(users, run_id, amount_of(usage)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _free(self, users: Sequence[str], run_id: str, used: Amount) -> None:
        """The engine counts nothing that an event has told of. Where it is not reached, what was
        reserved lapses there."""
        day, both = day_of(self._now_ms()), msgspec.json.encode((users[0], users[-1]))
        call = partial(_settle, self._line, self._prefix, day, run_id)
        with contextlib.suppress(StorageError):
            await call(used.tokens, _nano(used.dollars), both, *users, SERVER)

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

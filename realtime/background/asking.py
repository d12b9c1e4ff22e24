"""Models that are asked for what nobody waits for: summaries and titles."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from ..core.about import ABOUT
from ..core.usage import Meter, tokens_in
from ..limits.budget import NOTHING, amount_of
from ..live.services import Services
from ..models import ModelError, Request
from ..protocol import Usage
from ..runs.chain import ask

MOST = 8
LOCAL = 1  # the local model would make an answer wait
REST_S = (1.0, 60.0)  # after a refusal for the rate, the first and the longest, doubled each time

logger = logging.getLogger(__name__)


class Writing(msgspec.Struct, frozen=True):
    """What came of it: a text, or why there is none; and by which model, for what."""

    text: str
    error: ModelError | TimeoutError | None
    model: str
    usage: Usage


class Asker:
    """Asks for some texts at once: fewer where the provider limits rates, then more again. Budgets
    count what they cost."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._most = LOCAL if services.chain.begin_aside().link.account == "local" else MOST
        self._allowed = float(self._most)
        self._busy = 0
        self._turn = asyncio.Condition()

    @asynccontextmanager
    async def ask(
        self,
        request: Request,
        kind: str,
        session_id: str,
        owner: str,
        *,
        most: int,
        deadline_s: float,
    ) -> AsyncIterator[Writing]:
        """What came of it, to be stored before the context ends. `kind`: of the event that tells
        of it; `most`: tokens that the answer may come to; `deadline_s`: of one call. Raises
        `rate_limited` where the budget of the owner or the server is used up."""
        ABOUT.set({"session_id": session_id, "user_id": owner})  # of the task that asks
        budget, users = self._services.budget, (owner,)
        meter = Meter(self._services.prices, used=self._services.chain.count.used)
        budget.check_spending(users)
        amount = amount_of(Usage(tokens_in(request), most))
        name = f"{kind} {session_id}"  # as `log.hot.records.spent` has it
        try:
            await budget.confirm(users, session_id, name, amount, used=NOTHING)
            yield await self._said(request, meter, deadline_s)
        finally:  # what it cost counts, whatever came of it
            budget.settle_apart(users, name, meter.usage())

    async def _said(self, request: Request, meter: Meter, deadline_s: float) -> Writing:
        rest, longest = REST_S
        while True:
            attempts = self._services.chain.begin_aside()
            text, failure = "", None
            await self._begin()
            try:
                async with asyncio.timeout(deadline_s):
                    text = await ask(attempts, request, meter)
                self._allowed = min(self._most, self._allowed + 1 / self._allowed)
            except (ModelError, TimeoutError) as error:
                failure = error
                if isinstance(error, ModelError) and error.kind == "rate_limited":
                    self._allowed = max(1, self._allowed / 2)
                    await asyncio.sleep(min(max(rest, error.retry_after_s or 0), longest))
                    rest *= 2
                    continue
            finally:
                await self._end()
            return Writing(text, failure, attempts.model.name, meter.usage())

    async def _begin(self) -> None:
        async with self._turn:
            await self._turn.wait_for(lambda: self._busy < int(self._allowed))
            self._busy += 1

    async def _end(self) -> None:
        async with self._turn:
            self._busy -= 1
            self._turn.notify_all()

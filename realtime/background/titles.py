"""Titles: made in the background from the first exchange, until somebody gives a better one.

The next answer of a session that has none yet is another chance, so nothing is remembered of a
failure but its cost.
"""

from __future__ import annotations

import asyncio
import logging

from ..core.rows import StorageError
from ..core.transcript import markdown
from ..core.usage import Meter
from ..limits.budget import amount_of
from ..live.actor import Actor
from ..live.hub import Hub
from ..live.services import Services
from ..models import ModelError, Request, UserText
from ..protocol import ProtocolError, Usage, clean_title
from ..runs.chain import ask

INSTRUCTIONS = (
    "Give this conversation a title of two to six words, in the language of the user. "
    "Write the title alone, without quotation marks and without a full stop."
)
MAX_EXCHANGE = 4000  # characters that the model is given
TITLE_TOKENS = 200  # what a title may come to, with some reasoning before it
CHANCES = 3  # answers
DEADLINE_S = 60
AT_ONCE = 2
QUOTES = "\"'“”„‘’«»*#` "

logger = logging.getLogger(__name__)


class Titler:
    """`answered` brings the ids of sessions without a title in which an answer has ended."""

    def __init__(self, hub: Hub, services: Services, answered: asyncio.Queue[str]) -> None:
        self._hub = hub
        self._services = services
        self._answered = answered
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._work(), name=f"titles {number}") for number in range(AT_ONCE)
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            session_id = await self._answered.get()
            about = {"session_id": session_id}
            try:
                async with self._hub.hold(session_id) as actor:
                    if actor and wanted(actor):
                        await self._entitle(actor)
            except (ModelError, TimeoutError, ProtocolError, StorageError) as error:
                logger.info("no title yet: %s", error, extra=about)
            except Exception:
                logger.exception("title failed", extra=about)

    async def _entitle(self, actor: Actor) -> None:
        budget, users = self._services.budget, (actor.owner,)
        said = markdown(actor.session.exchanges()[:1])[:MAX_EXCHANGE]
        request = Request(INSTRUCTIONS, (UserText(said),))
        meter = Meter(self._services.prices, used=self._services.chain.count.used)
        name = f"title {actor.session_id}"
        budget.check_spending(users)
        budget.reserve(users, name, amount_of(Usage(MAX_EXCHANGE, TITLE_TOKENS)))
        attempts = self._services.chain.begin()
        title = ""
        try:
            async with asyncio.timeout(DEADLINE_S):
                text = await ask(attempts, request, meter)
            title = clean_title(text.strip().partition("\n")[0].strip(QUOTES)) or ""
        finally:  # what it cost counts, whatever came of it
            budget.settle(users, name, meter.usage())
            await actor.entitle(title, attempts.model.name, meter.usage())


def wanted(actor: Actor) -> bool:
    """Whether there is something to name, and nobody has named it."""
    session = actor.session
    if session.labels.title is not None or not 1 <= len(session.started) <= CHANCES:
        return False
    if session.started[0].done is None:
        return False
    return any(answer.text() for _, answer in session.exchanges()[:1])

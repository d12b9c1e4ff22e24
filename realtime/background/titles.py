"""Titles: made in the background from the first exchange, until somebody gives a better one.

The next answer of a session that has none yet is another chance, so nothing is remembered of a
failure but its cost.
"""

from __future__ import annotations

import asyncio
import logging
from weakref import WeakValueDictionary

from ..core.rows import StorageError
from ..core.transcript import markdown
from ..live.actor import Actor
from ..live.hub import Hub
from ..models import Request, UserText
from ..protocol import ProtocolError, clean_title
from .asking import MOST, Asker

INSTRUCTIONS = (
    "Give this conversation a title of two to six words, in the language of the user. "
    "Write the title alone, without quotation marks and without a full stop."
)
MAX_EXCHANGE = 4000  # characters that the model is given
TITLE_TOKENS = 200  # what a title may come to, with some reasoning before it
CHANCES = 3  # answers
DEADLINE_S = 60
QUOTES = "\"'“”„‘’«»*#` "

logger = logging.getLogger(__name__)


class Titler:
    """`answered` brings the ids of sessions without a title in which an answer has ended."""

    def __init__(self, hub: Hub, asker: Asker, answered: asyncio.Queue[str]) -> None:
        self._hub = hub
        self._asker = asker
        self._answered = answered
        self._tasks: list[asyncio.Task[None]] = []
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._work(), name=f"titles {number}") for number in range(MOST)
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            session_id = await self._answered.get()
            about = {"session_id": session_id}
            turn = self._turns.setdefault(session_id, asyncio.Lock())
            try:  # the next answer may end before this one has named the session
                async with turn, self._hub.hold(session_id) as actor:
                    if actor and wanted(actor):
                        await self._entitle(actor)
            except (ProtocolError, StorageError) as error:
                logger.info("no title yet: %s", error, extra=about)
            except Exception:
                logger.exception("title failed", extra=about)

    async def _entitle(self, actor: Actor) -> None:
        exchange = markdown(actor.session.exchanges()[:1])[:MAX_EXCHANGE]
        asked = self._asker.ask(
            Request(INSTRUCTIONS, (UserText(exchange),)),
            "session_updated",
            actor.session_id,
            actor.owner,
            most=TITLE_TOKENS,
            deadline_s=DEADLINE_S,
        )
        async with asked as said:
            if said.error:
                about = {"session_id": actor.session_id}
                logger.info("no title yet: %s", said.error, extra=about)
            title = clean_title(said.text.strip().partition("\n")[0].strip(QUOTES)) or ""
            await actor.entitle(title, said.model, said.usage)


def wanted(actor: Actor) -> bool:
    """Whether there is something to name, and nobody has named it."""
    session = actor.session
    if session.labels.title is not None or not 1 <= len(session.started) <= CHANCES:
        return False
    if session.started[0].done is None:
        return False
    return any(answer.text() for _, answer in session.exchanges()[:1])

"""Summaries: made in the background, once for each ended session.

The log knows which sessions wait for one, so a start after a crash needs no code of its
own. What cannot be made now (no quota, no model) is recorded as failed and tried again.
"""

from __future__ import annotations

import asyncio
import logging

from ..core.rows import StorageError
from ..live.hub import Hub
from ..models import (
    AssistantText,
    Item,
    ModelError,
    Request,
    ToolRequest,
    UserText,
)
from ..models.notes import noted
from ..protocol import Error, ProtocolError
from .asking import MOST, Asker

INSTRUCTIONS = (
    "Summarise this conversation in two or three sentences for somebody who was not there: "
    "what was asked, what was answered, what is still open. Write nothing else."
)
MAX_TRANSCRIPT = 12_000  # characters; the beginning and the end of a longer one
RETRY_S = (60, 300, 900, 3600)
DEADLINE_S = 120
SUMMARY_TOKENS = 1000  # what a summary may come to, with some reasoning before it

logger = logging.getLogger(__name__)


class Summariser:
    """`ended` brings the ids of sessions that have ended; `start` looks for those left over."""

    def __init__(self, hub: Hub, asker: Asker, ended: asyncio.Queue[str]) -> None:
        self._hub = hub
        self._asker = asker
        self._ended = ended
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._claimed: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._timers: set[asyncio.TimerHandle] = set()

    async def start(self) -> None:
        for session_id in await self._hub.log.keeper.unsummarised():
            self._wake(session_id)
        self._tasks = [
            asyncio.create_task(self._listen(), name="ended sessions"),
            *(asyncio.create_task(self._work(), name=f"summaries {n}") for n in range(MOST)),
        ]

    async def _listen(self) -> None:
        while True:
            self._wake(await self._ended.get())

    def _wake(self, session_id: str) -> None:
        if session_id in self._claimed:
            self._again.add(session_id)  # it was reopened and has ended once more
        else:
            self._claimed.add(session_id)
            self._waiting.put_nowait(session_id)
            self._count()

    def _count(self) -> None:
        self._hub.count.summaries_waiting = len(self._claimed | self._failures.keys())

    async def stop(self) -> None:
        """What is not finished stays pending in the log."""
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            session_id = await self._waiting.get()
            again = False
            try:
                again = not await self._summarise(session_id)
            except (ProtocolError, StorageError) as error:
                logger.warning("summary postponed: %s", error, extra={"session_id": session_id})
                again = True
            except Exception:
                logger.exception("summary failed", extra={"session_id": session_id})
                again = True
            finally:
                self._claimed.discard(session_id)
            if session_id in self._again:
                self._again.discard(session_id)
                self._wake(session_id)
            elif again:
                self._retry(session_id)
            else:
                self._failures.pop(session_id, None)
            self._count()

    def _retry(self, session_id: str) -> None:
        failures = self._failures.get(session_id, 0)
        self._failures[session_id] = failures + 1

        def wake() -> None:
            self._timers.discard(timer)
            self._wake(session_id)

        delay = RETRY_S[min(failures, len(RETRY_S) - 1)]
        timer = asyncio.get_running_loop().call_later(delay, wake)
        self._timers.add(timer)

    async def _summarise(self, session_id: str) -> bool:
        """Make one summary, if it is still wanted. False: try again later."""
        async with self._hub.hold(session_id) as actor:
            if actor is None or actor.session.ended is None:
                return True
            if actor.session.summary_status not in ("pending", "failed"):
                return True
            ended_seq = actor.session.ended.seq
            request = Request(INSTRUCTIONS, (UserText(transcribe(actor.session.context())),))
            asked = self._asker.ask(
                request,
                "summary",
                session_id,
                actor.owner,
                most=SUMMARY_TOKENS,
                deadline_s=DEADLINE_S,
            )
            async with asked as said:
                if said.error:
                    logger.warning("no summary: %s", said.error, extra={"session_id": session_id})
                ticket = actor.summarised(
                    ended_seq,
                    text=None if said.error else said.text[:MAX_TRANSCRIPT],
                    error=told(said.error) if said.error else None,
                    model=said.model,
                    usage=said.usage,
                )
                if ticket:
                    await ticket
                return said.error is None


def told(failure: Exception) -> Error:
    """Why there is no summary, in words for users."""
    if isinstance(failure, ModelError) and failure.kind == "quota":
        return Error(
            "quota_exceeded",
            "no summary could be made: the model's quota is used up; it will be retried",
            retryable=True,
        )
    return Error("summary_failed", "no summary could be made; it will be retried", retryable=True)


def transcribe(context: list[Item]) -> str:
    """The conversation as text, shortened in the middle where it is long."""
    lines: list[str] = []
    for item in context:
        match item:
            case UserText():
                lines.append(f"User: {noted(item).text}")
            case AssistantText(text):
                lines.append(f"Assistant: {text}")
            case ToolRequest(name=name):
                lines.append(f"(The assistant used the tool {name}.)")
    text = "\n".join(lines)
    if len(text) <= MAX_TRANSCRIPT:
        return text
    head, tail = MAX_TRANSCRIPT // 3, MAX_TRANSCRIPT * 2 // 3
    return f"{text[:head]}\n[…]\n{text[-tail:]}"

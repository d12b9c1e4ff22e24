"""Mending what a dead process, or another worker, left unfinished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from ..core.rows import Head
from ..log.log import Log
from ..protocol import ProtocolError
from .actor import Actor

Hold = Callable[[str], AbstractAsyncContextManager[Actor | None]]
logger = logging.getLogger(__name__)


class Recovery:
    """`hold` keeps a session in memory, `held` says whether one is there."""

    def __init__(
        self, log: Log, hold: Hold, held: Callable[[str], bool], *, grace_s: float
    ) -> None:
        self._log = log
        self._hold = hold
        self._held = held
        self._grace_s = grace_s
        self._sweeper: asyncio.Task[None] | None = None

    async def mend(self) -> None:
        """Runs that were cut off get their `done`, waiting ones go on, and sessions that
        nobody comes back to are ended after the grace period. Raises `StorageError`."""
        heads = await self._log.keeper.open_sessions()
        for head in heads:
            if head.unfinished:
                await self.tend(head.row.session_id, Actor.recover)
        self.close()
        self._sweeper = asyncio.create_task(self._end_left(heads))

    async def _end_left(self, heads: list[Head]) -> None:
        await asyncio.sleep(self._grace_s)
        for head in heads:
            if not self._held(head.row.session_id):
                await self.tend(head.row.session_id, Actor.expire)

    async def tend(self, session_id: str, act: Callable[[Actor], None]) -> None:
        """Act on a session; what is wrong with one must not keep us from the others."""
        try:
            async with self._hold(session_id) as actor:
                if actor:
                    act(actor)
        except ProtocolError as error:
            level = logging.DEBUG if error.code == "busy" else logging.WARNING
            logger.log(level, "not recovered yet: %s", error, extra={"session_id": session_id})
        except Exception:
            logger.exception("session cannot be recovered", extra={"session_id": session_id})

    def close(self) -> None:
        if self._sweeper:
            self._sweeper.cancel()

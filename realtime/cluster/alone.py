"""Whether the engine is away for this worker alone, and then its devices go to the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ..core.rows import StorageError
from ..log.hot.pulse import Pulse

LOOK_S = 2.0
SURE_S = 5.0
"""By then nothing is on its way to the archive that a worker sent before it was cut off."""

PATIENCE_S = 60.0
"""So long devices stay where nobody can tell."""

logger = logging.getLogger(__name__)


class Alone:
    """`heard`: until when the archive thinks the workers alive. Only one that the engine answers
    says so there; where that moves on, this worker alone is cut off. None: there is no archive."""

    def __init__(
        self, pulse: Pulse, heard: Callable[[], Awaitable[str]] | None, drop_all: Callable[[], None]
    ) -> None:
        self.known = False
        self._pulse = pulse
        self._heard = heard
        self._drop_all = drop_all

    async def watch(self) -> None:
        """Until cancelled."""
        first: str | None = None
        while True:
            await asyncio.sleep(LOOK_S)
            away_s = self._pulse.away_s
            if away_s < SURE_S:
                first, self.known = None, False
            elif not self.known:
                last = await self._asked()
                first = first or last
                self.known = last != first if last else away_s > PATIENCE_S
                if self.known:
                    logger.warning("this worker is cut off from the engine: its devices go")
                    self._drop_all()

    async def _asked(self) -> str | None:
        if self._heard is None:
            return None
        try:
            return await self._heard()
        except StorageError as error:
            logger.debug("the archive does not say whether others are alive: %s", error)
            return None

"""Ended sessions are not kept for ever, where the operator says so."""

from __future__ import annotations

import asyncio
import logging

from ..core.rows import StorageError
from ..live.clock import now_ms
from ..live.hub import Hub

PAUSE_S = 3600.0
AT_ONCE = 200

logger = logging.getLogger(__name__)


async def keep(hub: Hub, days: float, *, pause_s: float = PAUSE_S) -> None:
    """Delete what ended more than `days` ago, now and again until cancelled."""
    while True:
        try:
            deleted = await delete_ended(hub, now_ms() - int(days * 86_400_000))
        except StorageError as error:
            logger.warning("retention failed: %s", error)
            deleted = 0
        if deleted < AT_ONCE:
            await asyncio.sleep(pause_s)


async def delete_ended(hub: Hub, before_ms: int) -> int:
    """Delete some of the sessions that ended before then and are not in use; how many."""
    keeper = hub.log.keeper
    found = await keeper.ended_before(before_ms, AT_ONCE, shipped=hub.ships)
    unused = [session_id for session_id in found if not hub.holds(session_id)]
    if unused:
        await keeper.delete(unused)
        logger.info("deleted %d sessions that ended long ago", len(unused))
    return len(unused)

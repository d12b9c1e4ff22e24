"""The direct answers to commands, which come with the commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from ..core.rows import StorageError
from ..core.steering import Fate
from ..log.log import Ticket
from .driver import Ending
from .errors import refused

Ack = Awaitable[dict[str, Any]]
CLOSES_S = 5.0


async def acked(ticket: Ticket | None, **fields: Any) -> dict[str, Any]:
    """The ack of a command, once its events are committed. Raises `storage_unavailable` where
    they were not, and `not_found` where the session was deleted meanwhile."""
    if ticket is not None:
        try:
            await ticket
        except StorageError as error:
            raise refused(error) from None
    return {"ok": True, **fields}


async def steered(ticket: Ticket, decided: Awaitable[Fate], **fields: Any) -> dict[str, Any]:
    """The ack of a message that may join the answer under way, once the log says whether it did.
    Raises as `acked`."""
    ack = await acked(ticket, **fields)
    try:
        return ack | {"status": await decided}
    except StorageError as error:
        raise refused(error) from None


async def stopped(ending: Ending, run_id: str) -> dict[str, Any]:
    """The ack of `stop`, once the upstream request is closed, or does not close."""
    begun, task = time.monotonic(), ending.task
    if task:
        await asyncio.wait([task], timeout=CLOSES_S)
    return await acked(
        ending.ticket,
        status="cancelled",
        run_id=run_id,
        upstream_closed=task is None or task.done(),
        ms=round((time.monotonic() - begun) * 1000),
    )

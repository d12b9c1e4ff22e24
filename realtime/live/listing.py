"""A user's past sessions, wherever they are kept."""

from __future__ import annotations

import logging

from ..core.rows import SessionRow, StorageError
from ..log.log import Log
from ..log.store import Store

LISTED = 200

logger = logging.getLogger(__name__)


async def past_sessions(log: Log, shipped: Store | None, user_id: str) -> list[SessionRow]:
    """Those in which something was said, newest first, from the journal and from the store
    that it is shipped to."""
    rows = await log.keeper.list_sessions(user_id, LISTED, said=True)
    if shipped:
        known = {row.session_id for row in rows}
        try:
            stored = await shipped.list_sessions(user_id, LISTED, said=True)
        except StorageError as error:
            logger.warning("sessions listed from the journal only: %s", error)
        else:
            rows += [row for row in stored if row.session_id not in known]
    return sorted(rows, key=lambda row: row.start_time, reverse=True)[:LISTED]

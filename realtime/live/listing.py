"""A user's sessions, wherever they are kept."""

from __future__ import annotations

import logging

from ..core.rows import Listing, Place, SessionRow, StorageError
from ..log.log import Log
from ..log.store import Store
from ..protocol import ProtocolError

logger = logging.getLogger(__name__)


async def listed(log: Log, shipped: Store | None, wanted: Listing) -> list[SessionRow]:
    """A page of them, from the journal and from the store that it is shipped to. What the journal
    has of a session counts."""
    rows = await log.keeper.find_sessions(wanted)
    if shipped:
        try:
            stored = await shipped.find_sessions(wanted)
            known = await log.keeper.known([row.session_id for row in stored])
        except StorageError as error:
            logger.warning("sessions listed from the journal only: %s", error)
        else:
            rows += [row for row in stored if row.session_id not in known]
    return sorted(rows, key=place_of, reverse=True)[: wanted.limit]


def place_of(row: SessionRow) -> Place:
    return Place(row.pinned, row.active_at or 0, row.session_id)


def as_text(place: Place) -> str:
    """For clients, who give it back to ask for what comes behind it."""
    return f"{place.pinned:d}.{place.active_at}.{place.session_id}"


def as_place(text: str) -> Place:
    """Raises `bad_request`."""
    pinned, _, rest = text.partition(".")
    active_at, _, session_id = rest.partition(".")
    whole = pinned in ("0", "1") and session_id and len(session_id) <= 64
    if not whole or not active_at.isdecimal() or len(active_at) > 15:
        raise ProtocolError("bad_request", "before must be the next_before of a page")
    return Place(pinned == "1", int(active_at), session_id)

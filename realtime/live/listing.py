"""A user's sessions, wherever they are kept."""

from __future__ import annotations

import logging
from typing import NamedTuple

from ..core.rows import Listing, Place, SessionRow, StorageError
from ..log.keeper import Keeper
from ..log.store import Store
from ..protocol import ProtocolError

logger = logging.getLogger(__name__)


class ListPage(NamedTuple):
    """`before`: where the next page begins; None: there is none."""

    rows: list[SessionRow]
    before: Place | None


async def listed(keeper: Keeper, shipped: Store | None, wanted: Listing) -> ListPage:
    """A page of them, from the journal and from the store that it is shipped to. What the journal
    has of a session counts."""
    rows = await keeper.find_sessions(wanted)
    horizon = _horizon(rows, wanted)
    if shipped:
        try:
            stored = await shipped.find_sessions(wanted)
            known = await keeper.known([row.session_id for row in stored])
        except StorageError as error:
            logger.warning("sessions listed from the journal only: %s", error)
        else:
            rows += [row for row in stored if row.session_id not in known]
            horizon = max(filter(None, [horizon, _horizon(stored, wanted)]), default=None)
    rows.sort(key=place_of, reverse=True)
    if horizon:
        rows = [row for row in rows if place_of(row) >= horizon]
    if len(rows) > wanted.limit:
        rows = rows[: wanted.limit]
        horizon = place_of(rows[-1])
    return ListPage(rows, horizon)


def _horizon(rows: list[SessionRow], wanted: Listing) -> Place | None:
    """Behind it a store may have more."""
    return place_of(rows[-1]) if len(rows) == wanted.limit else None


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

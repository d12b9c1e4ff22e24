"""What a caller may do now."""

from __future__ import annotations

from typing import Literal

from ..auth.shares import Grant
from ..live.errors import draining, storage_unavailable
from ..live.hub import Hub
from ..live.seat import Seat
from ..protocol import ProtocolError

Need = Literal["read", "full", "owner"]


def check_access(seat: Seat, user_id: str, grant: Grant | None, need: Need) -> None:
    """Whether a user who is let in goes as far as is needed. Raises `forbidden`."""
    if need == "owner" and grant and seat.owner != user_id:
        raise ProtocolError("forbidden", "only the session's owner may do this")
    if need == "full" and only_reads(seat, user_id, grant):
        raise ProtocolError("forbidden", "this share is read-only")


def only_reads(seat: Seat, user_id: str, grant: Grant | None) -> bool:
    """Whether it is a share to read that lets this user in."""
    return grant is not None and grant.access == "read" and seat.owner != user_id


def check_able(hub: Hub) -> None:
    """Nothing new is begun that could not be stored or finished. Raises `draining`,
    `storage_unavailable`."""
    if hub.draining:
        raise draining()
    if not hub.log.takes:
        raise storage_unavailable()
    if full := hub.log.keeper.full:
        raise storage_unavailable(str(full))

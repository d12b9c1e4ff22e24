"""The list of a user's sessions over HTTP: read, searched and changed."""

from __future__ import annotations

import msgspec
from aiohttp import web

from ...core.rows import Listing
from ...live.hub import Hub
from ...live.listing import as_place, as_text, listed
from ...log.store import Store
from ...protocol import ProtocolError, clean_text, decode
from ..access import check_able
from ..transport.packets import loads
from .answers import as_json, public
from .bodies import body
from .caller import Callers
from .routing import by

LISTED, MOST_LISTED = 50, 200
MAX_WANTED = 200  # characters
MAX_BODY = 4096


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be different; what is left out stays."""

    title: str | None = None
    pinned: bool | None = None
    archived: bool | None = None


class SessionList:
    """`shipped`: the store that the journal is shipped to."""

    def __init__(self, hub: Hub, callers: Callers, *, shipped: Store | None) -> None:
        self._hub = hub
        self._callers = callers
        self._shipped = shipped

    async def page(self, request: web.Request) -> web.Response:
        """A page of the caller's sessions in which something was said."""
        given = request.query
        before, archived = given.get("before"), given.get("archived", "false")
        if archived not in ("true", "false"):
            raise ProtocolError("bad_request", "archived must be true or false")
        wanted = Listing(
            user_id=await self._callers.user(request),
            limit=_limit(given.get("limit")),
            before=as_place(before) if before else None,
            archived=archived == "true",
            wanted=_wanted(given.get("q", "")),
        )
        rows, behind = await listed(self._hub.log.keeper, self._shipped, wanted)
        page = {"sessions": [public(row) for row in rows]}
        return as_json(page | {"next_before": as_text(behind) if behind else None})

    async def change(self, request: web.Request) -> web.Response:
        """Rename, pin or archive a session of the caller's."""
        session_id, user_id = request.match_info["session_id"], await self._callers.user(request)
        async with self._hub.open(session_id, user_id) as seat:
            change = await _body(request)
            check_able(self._hub)
            if change.title is not None:
                await seat.rename(change.title, user_id)
            if change.pinned is not None:
                await seat.pin(change.pinned, user_id)
            if change.archived is not None:
                await seat.archive(change.archived, user_id)
            row = seat.row()
        return as_json({"session": public(row)})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a session of the caller's for good."""
        session_id, user_id = request.match_info["session_id"], await self._callers.user(request)
        async with self._hub.open(session_id, user_id) as seat:
            await self._hub.delete(seat)
        return web.Response(status=204)


async def _body(request: web.Request) -> Change:
    """Raises `bad_request`, `too_large`."""
    data = b""
    async for piece in body(request):
        data += piece
        if len(data) > MAX_BODY:
            raise ProtocolError("too_large", f"the body is larger than {MAX_BODY} bytes")
    try:
        return decode(Change, loads(data.decode()))
    except ValueError as error:
        raise ProtocolError("bad_request", f"{error}. See PROTOCOL.md.") from None


def _wanted(text: str) -> str:
    """As much of a search as is read, without a word that is cut off."""
    read, behind = text[:MAX_WANTED], text[MAX_WANTED : MAX_WANTED + 1]
    if behind.strip():
        read = read.rpartition(" ")[0] or read
    return clean_text(read).strip()


def _limit(given: str | None) -> int:
    if given is None:
        return LISTED
    if not (
        given.isascii() and given.isdecimal() and len(given) < 4 and 1 <= int(given) <= MOST_LISTED
    ):
        raise ProtocolError("bad_request", f"limit must be a number from 1 to {MOST_LISTED}")
    return int(given)


SESSIONS: web.AppKey[SessionList] = web.AppKey("sessions", SessionList)

ROUTES = [
    web.get("/api/sessions", by(SESSIONS, SessionList.page)),
    web.patch("/api/sessions/{session_id}", by(SESSIONS, SessionList.change)),
    web.delete("/api/sessions/{session_id}", by(SESSIONS, SessionList.delete)),
]

"""A whole conversation as a download: its events as JSON, or what was said as Markdown."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ...core.fold import fold
from ...core.transcript import markdown
from ...live.hub import Hub
from ...live.seat import Seat
from ...protocol import Event, History, ProtocolError, entry, to_json
from .answers import as_download, public
from .caller import Callers
from .routing import by

FORMATS = {
    "json": ("conversation.json", "application/json"),
    "markdown": ("conversation.md", "text/markdown"),
}


class Exports:
    """For whoever may read the session. `leaf`: of another branch than the active one."""

    def __init__(self, hub: Hub, callers: Callers) -> None:
        self._hub = hub
        self._callers = callers

    async def export(self, request: web.Request) -> web.Response:
        session_id, leaf = request.match_info["session_id"], request.query.get("leaf")
        wanted = request.query.get("format", "json")
        if wanted not in FORMATS:
            raise ProtocolError("bad_request", f"format must be {' or '.join(FORMATS)}")
        user_id = await self._callers.user(request)
        key = self._callers.share_key(request, session_id)
        async with self._hub.open(session_id, user_id, share_key=key) as seat:
            if wanted == "json":
                events = await whole(seat, leaf)
                body = to_json({"session": public(seat.row()), "events": events})
            else:
                text = markdown(seat.exchanges(leaf), seat.row().title) + "\n"
                body = text.encode("utf-8", "replace")
        return as_download(body, *FORMATS[wanted])


async def whole(seat: Seat, leaf: str | None) -> list[dict[str, Any]]:
    """All entries of a branch, folded, the oldest first."""
    events: list[Event] = []
    before: int | None = None
    while True:
        page = await seat.history(History(before_seq=before, leaf=leaf, limit=200))
        events = fold([*page.events, *events])
        if page.next_before_seq is None:
            return [entry(event) for event in events]
        before = page.next_before_seq


EXPORTS: web.AppKey[Exports] = web.AppKey("exports", Exports)


ROUTES = [web.get("/api/sessions/{session_id}/export", by(EXPORTS, Exports.export))]

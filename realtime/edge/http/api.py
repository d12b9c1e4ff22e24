"""The API: what a client may know of this server, and one session of the caller's, read-only."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ...live.hub import Hub
from ...protocol import History, ProtocolError, entry
from .answers import as_download, as_json, public
from .caller import Callers
from .routing import by

OUTPUTS = {"json": ("output.json", "application/json"), "text": ("output.txt", "text/plain")}


class Api:
    """What one running server answers. `info` is told to anybody."""

    def __init__(self, hub: Hub, callers: Callers, *, info: dict[str, Any]) -> None:
        self._hub = hub
        self._callers = callers
        self._info = info

    async def info(self, request: web.Request) -> web.Response:
        return as_json(self._info)

    async def session(self, request: web.Request) -> web.Response:
        """One session of the caller's: its row and its newest events, folded."""
        session_id = request.match_info["session_id"]
        before = request.query.get("before_seq")
        if before is not None and not (before.isdecimal() and len(before) < 16):
            raise ProtocolError("bad_request", "before_seq must be a number")
        command = History(
            before_seq=int(before) if before else None,
            leaf=request.query.get("leaf"),
            limit=200,
        )
        async with self._hub.open(session_id, await self._callers.user(request)) as seat:
            page = await seat.history(command)
            row = seat.row()
        events = [entry(event) for event in page.events]
        return as_json(
            {"session": public(row), "events": events, "next_before_seq": page.next_before_seq}
        )

    async def output(self, request: web.Request) -> web.Response:
        """A tool's whole output, for whoever may read the session."""
        session_id, output_ref = (request.match_info[n] for n in ("session_id", "output_ref"))
        key = self._callers.share_key(request, session_id)
        log = self._hub.log
        async with self._hub.open(session_id, await self._callers.user(request), share_key=key):
            found = await log.keeper.output(session_id, output_ref)
        if found is None:
            raise ProtocolError("not_found", "no such output is stored")
        kind, data = found
        return as_download(data, *OUTPUTS[kind])


API: web.AppKey[Api] = web.AppKey("api", Api)


async def preflight(request: web.Request) -> web.Response:
    return web.Response(status=204)


ROUTES = [
    web.get("/api/info", by(API, Api.info)),
    web.get("/api/sessions/{session_id}", by(API, Api.session)),
    web.get("/api/sessions/{session_id}/outputs/{output_ref}", by(API, Api.output)),
    web.options("/api/{path:.*}", preflight),
]

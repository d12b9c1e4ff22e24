"""The API: what a client may know of this server, and the caller's past sessions, read-only."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from ...core.rows import Listing, SessionRow
from ...live.hub import Hub
from ...live.listing import as_place, as_text, listed, place_of
from ...log.store import Store
from ...protocol import History, ProtocolError, clean_text, entry, to_json
from .caller import Callers
from .routing import by

LISTED, MOST_LISTED = 50, 200
MAX_WANTED = 200  # characters

OUTPUTS = {"json": ("output.json", "application/json"), "text": ("output.txt", "text/plain")}


class Api:
    """What one running server answers. `info` is told to anybody. `shipped`: the store that the
    journal is shipped to."""

    def __init__(
        self,
        hub: Hub,
        callers: Callers,
        *,
        info: dict[str, Any],
        shipped: Store | None,
    ) -> None:
        self._hub = hub
        self._callers = callers
        self._info = info
        self._shipped = shipped

    async def info(self, request: web.Request) -> web.Response:
        return as_json(self._info)

    async def sessions(self, request: web.Request) -> web.Response:
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
            wanted=clean_text(given.get("q", "")[:MAX_WANTED]),
        )
        rows = await listed(self._hub.log, self._shipped, wanted)
        last = as_text(place_of(rows[-1])) if len(rows) == wanted.limit else None
        return as_json({"sessions": [public(row) for row in rows], "next_before": last})

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


def as_json(data: Any, status: int = 200) -> web.Response:
    return web.json_bytes_response(data, dumps=to_json, status=status)


def as_download(body: bytes, name: str, content_type: str) -> web.Response:
    """A text, in UTF-8."""
    return web.Response(
        body=body,
        content_type=content_type,
        charset="utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def _limit(given: str | None) -> int:
    if given is None:
        return LISTED
    if not given.isdecimal() or not 1 <= int(given[:6]) <= MOST_LISTED:
        raise ProtocolError("bad_request", f"limit must be a number from 1 to {MOST_LISTED}")
    return int(given)


def public(row: SessionRow) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(row)
    return data


API: web.AppKey[Api] = web.AppKey("api", Api)


async def preflight(request: web.Request) -> web.Response:
    return web.Response(status=204)


ROUTES = [
    web.get("/api/info", by(API, Api.info)),
    web.get("/api/sessions", by(API, Api.sessions)),
    web.get("/api/sessions/{session_id}", by(API, Api.session)),
    web.get("/api/sessions/{session_id}/outputs/{output_ref}", by(API, Api.output)),
    web.options("/api/{path:.*}", preflight),
]

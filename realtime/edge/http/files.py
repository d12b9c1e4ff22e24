"""Files over HTTP: taken in for a session, and given to whoever may read it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from urllib.parse import quote

from aiohttp import web

from ...auth.links import Links, SignedLink
from ...core.rows import Missing
from ...files.intake import too_large
from ...files.store import Files
from ...limits.buckets import rate_limited
from ...live.hub import Hub
from ...protocol import IMAGES, File, ProtocolError, kind_of
from ..access import check_able, check_access
from .answers import as_json
from .bodies import body
from .caller import Callers
from .routing import by

AT_ONCE = 8
"""Uploads of one user at the same time."""

SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-store",
}
"""Whatever a file holds, a browser runs nothing of it here."""


class FileApi:
    """`admit` raises `rate_limited` where a user has sent all that a day allows."""

    def __init__(
        self,
        hub: Hub,
        callers: Callers,
        files: Files,
        links: Links,
        admit: Callable[[str], Awaitable[None]],
    ) -> None:
        self._hub = hub
        self._callers = callers
        self._files = files
        self._links = links
        self._admit = admit
        self._under_way: Counter[str] = Counter()

    async def upload(self, request: web.Request) -> web.Response:
        """Keep the body of the request as a file of the session."""
        session_id = request.match_info["session_id"]
        user_id = await self._callers.user(request)
        check_able(self._hub)
        self._files.check_kept()
        key = self._callers.share_key(request, session_id)
        grant = self._callers.share(request, session_id)

        async def check() -> None:
            async with self._hub.open(session_id, user_id, share_key=key) as seat:
                check_access(seat, user_id, grant, "full")

        async def checked() -> AsyncIterator[bytes]:
            async for piece in body(request):
                yield piece
            await check()  # the share may have been voided meanwhile

        await check()
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise ProtocolError("bad_request", "send the file as it is, without Content-Encoding")
        if (request.content_length or 0) > self._files.most:
            raise too_large(self._files.most)
        if self._under_way[user_id] >= AT_ONCE:
            raise rate_limited(f"{AT_ONCE} of your files are on their way; wait for one", 1)
        self._under_way[user_id] += 1
        try:
            await self._admit(user_id)
            declared = request.headers.get("Content-Type", "")
            name = request.query.get("name", "")
            file = await self._files.add(session_id, user_id, name, declared, checked())
        finally:
            self._under_way[user_id] -= 1
            self._under_way += Counter()  # forgets those who have none
        return as_json({"file": file}, status=201)

    async def link(self, request: web.Request) -> web.Response:
        """A link to a file that needs no header, for a while."""
        user_id = await self._callers.user(request)
        session_id, file_id = _named(request)
        key = self._callers.share_key(request, session_id)
        await self._find(session_id, file_id, user_id, key)
        token, expires = self._links.token(SignedLink(user_id, session_id, file_id, key))
        url = f"api/sessions/{quote(session_id)}/files/{quote(file_id)}?token={token}"
        return as_json({"url": url, "expires_at": expires * 1000})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file's bytes, for whoever may read the session or has a link."""
        session_id, file_id = _named(request)
        if token := request.query.get("token"):
            link = self._links.read(token)
            if link is None or (link.session_id, link.file_id) != (session_id, file_id):
                raise ProtocolError("not_found", "this link has expired or is not valid")
            user_id, key = link.user_id, link.key
            self._callers.count(user_id)
        else:
            user_id = await self._callers.user(request)
            key = self._callers.share_key(request, session_id)
        file = await self._find(session_id, file_id, user_id, key)
        try:
            content = await self._files.content(session_id, file_id)
        except Missing as missing:
            raise ProtocolError("not_found", str(missing)) from None
        headers = {**SAFE, **headers_of(file)}
        if content.path:
            return web.FileResponse(content.path, headers=headers)
        assert content.pieces
        return await _streamed(request, content.pieces, headers, file.size)

    async def _find(self, session_id: str, file_id: str, user_id: str, key: str | None) -> File:
        """Raises `not_found` alike for a file that is missing and for one of another session."""
        async with self._hub.open(session_id, user_id, share_key=key) as seat:
            listed = seat.file(file_id)
        found = [listed] if listed else await self._files.find(session_id, [file_id])
        if not found:
            raise ProtocolError("not_found", "this session has no such file")
        return found[0]


def headers_of(file: File) -> dict[str, str]:
    """Of a response with this file: a picture is shown, anything else is saved."""
    kind = file.type
    if kind_of(kind) == "text":
        kind += "; charset=utf-8"
    how = "inline" if file.type in IMAGES else "attachment"
    plain = re.sub(r"[^A-Za-z0-9 ._-]", "_", file.name)
    names = f"filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, '')}"
    return {"Content-Type": kind, "Content-Disposition": f"{how}; {names}"}


async def _streamed(
    request: web.Request, pieces: AsyncGenerator[bytes, None], headers: dict[str, str], size: int
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    response.content_length = size
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if not response.prepared:
                    await response.prepare(request)
                await response.write(piece)
    except Missing as missing:
        raise ProtocolError("not_found", str(missing)) from None
    await response.write_eof()
    return response


def _named(request: web.Request) -> tuple[str, str]:
    return request.match_info["session_id"], request.match_info["file_id"]


FILES: web.AppKey[FileApi] = web.AppKey("files", FileApi)


ROUTES = [
    web.post("/api/sessions/{session_id}/files", by(FILES, FileApi.upload)),
    web.get("/api/sessions/{session_id}/files/{file_id}", by(FILES, FileApi.file)),
    web.post("/api/sessions/{session_id}/files/{file_id}/url", by(FILES, FileApi.link)),
]

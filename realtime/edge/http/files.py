"""Files over HTTP: taken in for a session, and given to whoever may read it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from urllib.parse import quote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from ...auth.links import Links, SignedLink
from ...core.rows import Missing
from ...files.intake import empty, too_large
from ...files.sniff import media_type
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

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII | re.IGNORECASE)

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
        declared = request.headers.get("Content-Type", "")
        check_head(request, media_type(declared), self._files.most)
        if self._under_way[user_id] >= AT_ONCE:
            raise rate_limited(f"{AT_ONCE} of your files are on their way; wait for one", 1)
        self._under_way[user_id] += 1
        try:
            await self._admit(user_id)
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
            kind = web.FileResponse if asks_a_part(request, file.size) else Whole
            return kind(content.path, headers=headers)
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


class Whole(web.FileResponse):
    """All of a file, whatever range is asked for."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        headers = request.headers.copy()
        headers.popall("Range", None)
        return await super().prepare(request.clone(headers=headers))


def check_head(request: web.Request, declared: str, most: int) -> None:
    """Refuse what the headers rule out, before it counts. Raises `bad_request`,
    `too_large`."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise ProtocolError("bad_request", "send the file as it is, without Content-Encoding")
    if declared == "multipart/form-data":
        raise ProtocolError(
            "bad_request", "send the bytes of the file as the body, not a form; ?name= is its name"
        )
    if request.content_length == 0:
        raise empty()
    if (request.content_length or 0) > most:
        raise too_large(most)


def asks_a_part(request: web.Request, size: int) -> bool:
    """Whether it is for one range of bytes. Any other is ignored, as RFC 9110 has it. Raises 416
    for one that begins behind the end."""
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if request.method != "GET" or not found:
        return False
    first, last, tail = found.groups()
    if first and last and int(last) < int(first):
        return False
    if int(first or 0) >= size or (tail and not int(tail)):
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return True


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

"""HTTP: the page, health, and the caller's past sessions, read-only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from ..auth import Authenticator, AuthError
from ..auth.shares import Shares
from ..config.origin import origin_of
from ..core.rows import SessionRow, StorageError
from ..limits.buckets import Buckets
from ..live.hub import Hub
from ..package import ROOT
from ..protocol import ProtocolError, entry, to_json
from .door import as_seen, local

CLIENT = ROOT / "client"
MODULES = ROOT / "node_modules"
VENDOR = {
    "socket.io-client.js": "socket.io-client/dist/socket.io.esm.min.js",
    "marked.js": "marked/lib/marked.esm.js",
    "dompurify.js": "dompurify/dist/purify.es.mjs",
}
FILES = {"json": ("output.json", "application/json"), "text": ("output.txt", "text/plain")}
STATUS = {
    "not_found": 404,
    "unauthorized": 401,
    "bad_request": 400,
    "rate_limited": 429,
    "draining": 503,
    "overloaded": 503,
    "storage_unavailable": 503,
    "busy": 503,
}

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Listing = Callable[[str], Awaitable[list[SessionRow]]]
Ready = Callable[[], Awaitable[dict[str, Any]]]
logger = logging.getLogger(__name__)


def answer(data: Any, status: int = 200) -> web.Response:
    return web.Response(body=to_json(data), status=status, content_type="application/json")


def metrics(read: Callable[[], str], token: str) -> Handler:
    """The route of the metrics: for whoever has the token; without one, for this machine,
    as long as no proxy stands between."""

    async def handler(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        near = local(request.remote or "") and "X-Forwarded-For" not in request.headers
        if not (hmac.compare_digest(given.encode(), token.encode()) if token else near):
            raise web.HTTPNotFound
        return web.Response(body=read().encode(), headers={"Content-Type": METRICS_TYPE})

    return handler


class Pages:
    """The routes. `list_sessions(user_id)` and `ready()` come from who knows the stores; what
    a user asks counts among their `commands`."""

    def __init__(
        self,
        hub: Hub,
        auth: Authenticator,
        commands: Buckets,
        *,
        info: dict[str, Any],
        list_sessions: Listing,
        ready: Ready,
        shares: Shares,
    ) -> None:
        self._hub = hub
        self._auth = auth
        self._commands = commands
        self._shares = shares
        self._info = info
        self._list_sessions = list_sessions
        self._ready = ready

    async def healthz(self, request: web.Request) -> web.Response:
        """The process is alive."""
        return answer({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """Whether it should get traffic, and how its stores are."""
        state = await self._ready()
        return answer(state, 200 if state["status"] != "unavailable" else 503)

    async def info(self, request: web.Request) -> web.Response:
        return answer(self._info)

    async def sessions(self, request: web.Request) -> web.Response:
        """The caller's sessions in which something was said, newest first."""
        rows = await self._list_sessions(await self._caller(request))
        return answer({"sessions": [public(row) for row in rows]})

    async def session(self, request: web.Request) -> web.Response:
        """One session of the caller's: its row and its newest events, folded."""
        session_id = request.match_info["session_id"]
        before = request.query.get("before_seq")
        if before is not None and not (before.isdecimal() and len(before) < 16):
            raise ProtocolError("bad_request", "before_seq must be a number")
        async with self._hub.open(session_id, await self._caller(request)) as actor:
            page = await actor.history(int(before) if before else None, 200)
            row = actor.session.row()
        events = [entry(event) for event in page.events]
        return answer(
            {"session": public(row), "events": events, "next_before_seq": page.next_before_seq}
        )

    async def output(self, request: web.Request) -> web.Response:
        """A tool's whole output, for whoever may read the session."""
        session_id, output_ref = (request.match_info[n] for n in ("session_id", "output_ref"))
        share = self._shares.read(request.headers.get("Share", ""))
        key = share.key if share and share.session_id == session_id else None
        log = self._hub.log
        async with self._hub.open(session_id, await self._caller(request), share_key=key):
            found = await log.read(log.journal.output, session_id, output_ref)
        if found is None:
            raise ProtocolError("not_found", "no such output is kept")
        kind, data = found
        name, content_type = FILES[kind]
        return web.Response(
            body=data,
            content_type=content_type,
            charset="utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
            },
        )

    async def _caller(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else None
        try:
            user_id = (await self._auth.user(bearer or None, request)).user_id
        except AuthError as error:
            raise ProtocolError("unauthorized", str(error), retryable=error.retryable) from None
        self._commands.spend(user_id)
        return user_id


def public(row: SessionRow) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(row)
    return data


# ------------------------------------------------------------------ static files


async def index(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(CLIENT / "index.html", headers={"Cache-Control": "no-cache"})


async def client_file(request: web.Request) -> web.StreamResponse:
    return _file(CLIENT / request.match_info["name"], CLIENT)


async def vendor_file(request: web.Request) -> web.StreamResponse:
    return _file(MODULES / VENDOR.get(request.match_info["name"], ""), MODULES)


def _file(path: Path, root: Path) -> web.StreamResponse:
    try:
        known = path.resolve().is_relative_to(root.resolve()) and path.is_file()
    except (ValueError, OSError):  # no name that a file can have
        known = False
    if not known:
        raise web.HTTPNotFound
    kind = "text/javascript" if path.suffix in (".js", ".mjs") else None
    response = web.FileResponse(path, headers={"Cache-Control": "no-cache"})
    if kind:
        response.content_type = kind
    return response


def page_policy(sign_in: str = "") -> str:
    """The page's Content-Security-Policy; its import map is allowed by its hash. `sign_in`: the
    URL of the one other server that the page may talk to."""
    found = re.search(
        r'<script type="importmap">(.*?)</script>',
        (CLIENT / "index.html").read_text("utf-8"),
        re.S,
    )
    scripts = "'self'"
    if found:
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        scripts += f" 'sha256-{digest}'"
    parts = urlsplit(sign_in)
    connections = f"'self' {parts.scheme}://{parts.netloc}" if sign_in else "'self'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self'; "
        f"connect-src {connections}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types dompurify"
    )


# -------------------------------------------------------------------- middleware


def guard(
    origins: tuple[str, ...],
    proxies: int,
    check: Callable[[web.Request], None],
    *,
    sign_in: str = "",
) -> Any:
    """Errors become JSON, headers become safe, listed origins may read the API. Before a
    new socket's handshake it is `check`ed. `sign_in`: where the page signs users in."""
    policy = page_policy(sign_in)
    listed = {origin_of(origin) for origin in origins}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request = as_seen(request, proxies)
        try:
            if "EIO" in request.query and "sid" not in request.query:
                check(request)
            response = await handler(request)
        except ProtocolError as error:
            response = answer({"error": error.payload()}, STATUS.get(error.code, 400))
            if error.retry_after_ms is not None:
                response.headers["Retry-After"] = str(ceil(error.retry_after_ms / 1000))
        except StorageError:
            response = answer({"error": {"code": "storage_unavailable"}}, 503)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = answer({"error": {"code": error.reason.lower()}}, error.status)
        if response.prepared:
            return response
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Content-Security-Policy", policy)
        origin = request.headers.get("Origin")
        if origin in listed and "/api/" in request.path:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Share"
            response.headers["Vary"] = "Origin"
        return response

    return middleware


async def to_slash(request: web.Request) -> web.Response:
    """Mounted below a prefix, the page's relative addresses need the slash at its end. The way
    there is relative too: a proxy may have a prefix of its own."""
    path, question, query = request.path_qs.partition("?")
    raise web.HTTPPermanentRedirect(f"{path.rpartition('/')[2]}/{question}{query}")


async def preflight(request: web.Request) -> web.Response:
    return web.Response(status=204)


def missing_modules() -> list[str]:
    """What the page needs and npm has not installed."""
    return [path for path in VENDOR.values() if not (MODULES / path).is_file()]

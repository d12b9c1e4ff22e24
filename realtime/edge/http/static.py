"""The page, its modules, and the third-party modules that npm installed."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from ...package import PAGE, ROOT

MODULES = ROOT / "node_modules"
VENDOR = {
    "socket.io-client.js": "socket.io-client/dist/socket.io.esm.min.js",
    "marked.js": "marked/lib/marked.esm.js",
    "dompurify.js": "dompurify/dist/purify.es.mjs",
}


async def index(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})


async def to_slash(request: web.Request) -> web.Response:
    """Mounted below a prefix, the page's relative addresses need the slash at its end. The way
    there is relative too: a proxy may have a prefix of its own."""
    path, question, query = request.path_qs.partition("?")
    raise web.HTTPPermanentRedirect(f"{path.rpartition('/')[2]}/{question}{query}")


async def client_file(request: web.Request) -> web.StreamResponse:
    return _file(PAGE / request.match_info["name"], PAGE)


async def vendor_file(request: web.Request) -> web.StreamResponse:
    return _file(MODULES / VENDOR.get(request.match_info["name"], ""), MODULES)


ROUTES = [
    web.get("/", index),
    web.get("", to_slash),
    web.get("/client/{name:.+}", client_file),
    web.get("/vendor/{name}", vendor_file),
]


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


def missing_modules() -> list[str]:
    """What the page needs and npm has not installed."""
    return [path for path in VENDOR.values() if not (MODULES / path).is_file()]


def page_policy(sign_in: str = "") -> str:
    """The page's Content-Security-Policy; its import map is allowed by its hash. `sign_in`: the
    URL of the one other server that the page may talk to."""
    found = re.search(
        r'<script type="importmap">(.*?)</script>',
        (PAGE / "index.html").read_text("utf-8"),
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

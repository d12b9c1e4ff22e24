"""The page, its modules, and the third-party modules that npm installed."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from aiohttp import web

from .assets import Asset, Assets

SIGN_IN: web.AppKey[str] = web.AppKey("sign_in", str)
"""The URL of the one other server that the page may talk to, if there is one."""

ASSETS = Assets()


async def index(request: web.Request) -> web.StreamResponse:
    return await _page(request, "./")


async def session(request: web.Request) -> web.StreamResponse:
    """The same page: it reads the session's id from its address."""
    return await _page(request, "../")


async def _page(request: web.Request, up: str) -> web.StreamResponse:
    document = await asyncio.to_thread(ASSETS.document, up)  # it looks at every file
    response = await _sent(request, document.asset, lasting=False)
    policy = page_policy(document.map_hash, request.app.get(SIGN_IN, ""))
    response.headers["Content-Security-Policy"] = policy
    return response


async def to_slash(request: web.Request) -> web.Response:
    """Mounted below a prefix, the page's relative addresses need the slash at its end. The way
    there is relative too: a proxy may have a prefix of its own."""
    path, question, query = request.path_qs.partition("?")
    raise web.HTTPPermanentRedirect(f"{path.rpartition('/')[2]}/{question}{query}")


async def client_file(request: web.Request) -> web.StreamResponse:
    return await _file(request, f"client/{request.match_info['name']}")


async def vendor_file(request: web.Request) -> web.StreamResponse:
    return await _file(request, f"vendor/{request.match_info['name']}")


ROUTES = [
    web.get("/", index),
    web.get("", to_slash),
    web.get("/c/{session_id:[^/]+}", session),
    web.get("/client/{name:.+}", client_file),
    web.get("/vendor/{name:.+}", vendor_file),
]


async def _file(request: web.Request, name: str) -> web.StreamResponse:
    found = await asyncio.to_thread(ASSETS.find, name)
    if found is None:
        raise web.HTTPNotFound
    return await _sent(request, *found)


async def _sent(request: web.Request, asset: Asset, lasting: bool) -> web.Response:
    """The asset in an encoding that the client takes, or nothing where it has it already.
    `lasting`: the address never stands for anything else."""
    encoding = asset.accepted(request.headers.get("Accept-Encoding", ""))
    tag = f"{asset.digest}{encoding and '-'}{encoding}"
    headers = {
        "Cache-Control": "max-age=31536000, immutable" if lasting else "no-cache",
        **({"Vary": "Accept-Encoding"} if asset.accepted("gzip") else {}),
        **({} if lasting else {"ETag": f'"{tag}"'}),
    }
    if any(known.value == tag for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    if encoding:
        headers["Content-Encoding"] = encoding
    body = await asyncio.to_thread(asset.encoded, encoding)
    charset = "utf-8" if asset.kind.startswith("text/") and not lasting else None
    return web.Response(body=body, content_type=asset.kind, charset=charset, headers=headers)


def page_policy(map_hash: str, sign_in: str = "") -> str:
    """The page's Content-Security-Policy. No HTML is made of text anywhere, so Trusted Types
    allow none. `sign_in`: see `SIGN_IN`."""
    parts = urlsplit(sign_in)
    connections = f"'self' {parts.scheme}://{parts.netloc}" if sign_in else "'self'"
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{map_hash}'; style-src 'self'; "
        f"img-src 'self'; connect-src {connections}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )

"""The page, its modules, and the third-party modules that npm installed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property

from aiohttp import web

from .assets import PLAIN, Asset, Assets
from .brand import Brand, policy_origin


@dataclass(frozen=True)
class Served:
    """The page as this server gives it. `sign_in`: the URL of the one other server that it may
    talk to, if there is one. `ancestors`: what may show it in a frame."""

    brand: Brand = PLAIN
    sign_in: str = ""
    ancestors: tuple[str, ...] = ()

    @cached_property
    def assets(self) -> Assets:
        return Assets(brand=self.brand)

    def policy(self, map_hash: str) -> str:
        """The page's Content-Security-Policy. No HTML is made of text anywhere, so Trusted Types
        allow none."""
        return (
            f"default-src 'none'; script-src 'self' 'sha256-{map_hash}'; "
            f"style-src 'self'{policy_origin(self.brand.css)}; "
            f"img-src 'self'{policy_origin(self.brand.logo)}; "
            f"connect-src 'self'{policy_origin(self.sign_in)}; base-uri 'none'; "
            f"form-action 'none'; frame-ancestors {' '.join(self.ancestors) or NONE}; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )


NONE = "'none'"
SERVED: web.AppKey[Served] = web.AppKey("served", Served)
AS_IT_COMES = Served()


async def index(request: web.Request) -> web.StreamResponse:
    return await _page(request, "./")


async def session(request: web.Request) -> web.StreamResponse:
    """The same page: it reads the session's id from its address."""
    return await _page(request, "../")


async def _page(request: web.Request, up: str) -> web.StreamResponse:
    served = request.app.get(SERVED, AS_IT_COMES)
    document = await asyncio.to_thread(served.assets.document, up)  # it looks at every file
    response = await _sent(request, document.asset, lasting=False)
    response.headers["Content-Security-Policy"] = served.policy(document.map_hash)
    return response


async def to_slash(request: web.Request) -> web.Response:
    """Mounted below a prefix, the page's relative addresses need the slash at its end. The way
    there is relative too: a proxy may have a prefix of its own."""
    path, question, query = request.path_qs.partition("?")
    raise web.HTTPPermanentRedirect(f"{path.rpartition('/')[2]}/{question}{query}")


async def client_file(request: web.Request) -> web.StreamResponse:
    return await _file(request, f"client/{request.match_info['name']}")


async def embed(request: web.Request) -> web.StreamResponse:
    """What other sites load to show the page in a frame."""
    return await _file(request, "client/embed.js")


async def vendor_file(request: web.Request) -> web.StreamResponse:
    return await _file(request, f"vendor/{request.match_info['name']}")


ROUTES = [
    web.get("/", index),
    web.get("", to_slash),
    web.get("/c/{session_id:[^/]+}", session),
    web.get("/embed.js", embed),
    web.get("/client/{name:.+}", client_file),
    web.get("/vendor/{name:.+}", vendor_file),
]


async def _file(request: web.Request, name: str) -> web.StreamResponse:
    served = request.app.get(SERVED, AS_IT_COMES)
    found = await asyncio.to_thread(served.assets.find, name)
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

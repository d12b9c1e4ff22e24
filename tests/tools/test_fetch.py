"""The fetch helper for tools: what it refuses to reach, and its bounds."""

from __future__ import annotations

import asyncio
import gzip
from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp import web

from realtime.tools import ToolError
from realtime.tools.fetch import fetch, is_public

HERE = ("127.0.0.0/8",)


@pytest.fixture
async def site(aiohttp_server: Any) -> Any:
    asked: list[web.Request] = []

    async def page(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        match request.path:
            case "/away":
                raise web.HTTPFound(request.query["to"])
            case "/again":
                raise web.HTTPFound("/again")
            case "/long":
                return web.Response(body=b"x" * 5000)
            case "/bomb":
                body = gzip.compress(b"x" * 1_000_000)
                return web.Response(body=body, headers={"Content-Encoding": "gzip"})
            case "/slow":
                await asyncio.Event().wait()
        return web.Response(text="grüezi", charset="latin-1")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    server = await aiohttp_server(app)
    server.asked = asked
    return server


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "fd00:ec2::254",
    ],
)
async def test_private_addresses_are_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ToolError) as caught:
        await fetch(f"http://{host}/")
    assert caught.value.code == "address_refused"


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_public_ones_are_not(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:{port}/",
        "http://127.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "/relative",
        "http://user:secret@example.com/",
        "http://",
        "http://[::1",
    ],
)
async def test_what_leads_here_by_another_name_is_refused(site: Any, url: str) -> None:
    with pytest.raises(ToolError):
        await fetch(url.format(port=site.port))
    assert site.asked == []


async def test_a_redirect_is_checked_anew(site: Any) -> None:
    def away(to: str) -> str:
        return str(site.make_url("/away").with_query(to=to))

    found = await fetch(away("/there"), networks=HERE, headers={"X-Key": "k"})
    assert (found.status, found.text(), found.whole) == (200, "grüezi", True)
    for to in ("http://169.254.169.254/latest", "http://[::1]/", "file:///etc/passwd"):
        with pytest.raises(ToolError) as caught:
            await fetch(away(to), networks=HERE)
        assert caught.value.code == "address_refused"
    with pytest.raises(ToolError, match="redirects"):
        await fetch(str(site.make_url("/again")), networks=HERE)


async def test_keys_stay_with_their_host(site: Any) -> None:
    elsewhere = str(site.make_url("/there").with_host("localhost"))
    url = str(site.make_url("/away").with_query(to=elsewhere))
    await fetch(url, networks=(*HERE, "::1/128"), headers={"X-Key": "k"})
    assert ["X-Key" in request.headers for request in site.asked] == [True, False]


async def test_its_bounds(site: Any) -> None:
    cut = await fetch(str(site.make_url("/long")), networks=HERE, max_bytes=1000)
    assert (len(cut.body), cut.whole) == (1000, False)
    for path, says in (("/bomb", "compressed"), ("/slow", "within")):
        with pytest.raises(ToolError, match=says):
            await fetch(str(site.make_url(path)), networks=HERE, timeout_s=0.2)

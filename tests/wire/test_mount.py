"""The application inside somebody else's application."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web

from realtime.app import create_app
from realtime.config import Settings
from realtime.models.demo import DemoModel
from tests.support.device import Device
from tests.support.fetch import fetch


async def test_it_runs_under_a_prefix(
    aiohttp_server: Any, settings: Settings, device: Callable[..., Device]
) -> None:
    async def own_page(request: web.Request) -> web.Response:
        return web.Response(text="mine")

    parent = web.Application()
    parent.router.add_get("/", own_page)
    parent.add_subapp("/ai/", create_app(settings, model=DemoModel(delay_s=0)))
    host = await aiohttp_server(parent)
    url = str(host.make_url("/")).rstrip("/")
    one = device(url)
    await one.connect(socketio_path="/ai/socket.io")
    done = await one.done((await one.send("hello"))["run_id"])
    assert done["status"] == "completed"
    assert (await fetch(f"{url}/")).text == "mine"
    for query in ("", "?session=1"):
        async with aiohttp.ClientSession() as http, http.get(f"{url}/ai{query}") as found:
            assert (found.status, str(found.url)) == (200, f"{url}/ai/{query}")
            assert found.history[0].headers["Location"] == f"ai/{query}", "below any prefix"
    page = (await fetch(f"{url}/ai/")).text
    assert '"/' not in page, "its addresses are relative"
    named = re.findall(r'"\./((?:client|vendor)/[\w./-]+\.(?:js|css|svg))"', page)
    assert len(named) > 50
    for path in {*named, "client/app.js", "api/info"}:
        assert (await fetch(f"{url}/ai/{path}")).status == 200, path

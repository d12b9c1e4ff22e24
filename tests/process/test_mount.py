"""docs/mount.md: its example, as it stands there, as a process."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.page.acting import answered, live, say, start
from tests.support.browser import browser
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import ROOT, Process, free_port, process

Devices = Callable[..., Device]
GUIDE = (ROOT / "docs" / "mount.md").read_text("utf-8")
SOCKETIO = {"socketio_path": "/ai/socket.io"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Process]:
    (code,) = re.findall(r"```python\n(# my_site\.py\n.*?)```", GUIDE, re.S)
    (tmp_path / "my_site.py").write_text(code)
    port = str(free_port())
    (tmp_path / ".env").write_text(f"PORT={port}\nHOST=127.0.0.1\nDRAIN_SECONDS=15\n")
    async with process(sys.executable, "my_site.py", cwd=tmp_path) as running:
        await running.says(f"Listening on {port}")
        running.url = f"http://127.0.0.1:{port}"
        yield running


async def test_the_page_works_from_a_link_without_the_slash(site: Process) -> None:
    async with browser() as chromium:
        page = await chromium.new_page()
        await page.goto(f"{site.url}/")
        await page.get_by_role("link").click()
        await start(page)
        await live(page)
        await say(page, "hello")
        await answered(page, "demo model")
        assert page.url.startswith(f"{site.url}/ai/")
        await page.reload()
        await answered(page, "demo model")


async def test_its_routes_are_below_the_prefix(site: Process, device: Devices) -> None:
    one = device(site.url)
    session_id = (await one.connect(**SOCKETIO))["session_id"]
    await one.ask("hello")
    listed = await fetch(f"{site.url}/ai/api/sessions", one.auth["token"])
    assert [row["session_id"] for row in listed.json()["sessions"]] == [session_id]
    assert (await fetch(f"{site.url}/api/sessions", one.auth["token"])).status == 404
    async with aiohttp.ClientSession() as http, http.get(f"{site.url}/ai?a=1&b=2") as found:
        assert (found.status, found.url.path) == (200, "/ai/")
        assert found.history[0].headers["Location"] == "ai/?a=1&b=2"


async def test_it_logs_and_lets_answers_end(site: Process, device: Devices) -> None:
    one = device(site.url)
    session_id = (await one.connect(**SOCKETIO))["session_id"]
    run_id = (await one.send("count to 60"))["run_id"]
    await one.wait("token")
    site.child.send_signal(signal.SIGTERM)
    await one.wait("server", type="draining")
    refused = await one.send("one more")
    assert refused["error"]["code"] == "draining", "what is sent is answered"
    assert (await one.done(run_id))["status"] == "completed"
    assert await site.ended() == 0
    assert re.search(rf"INFO realtime\.\S+: run ended: .*session_id={session_id}", site.output)

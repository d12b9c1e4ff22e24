from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.page.acting import LAN
from tests.page.stage import OWNER, Stage
from tests.support.browser import launched, watched


@pytest.fixture(scope="module")
async def running_chromium() -> AsyncIterator[Browser]:
    async with launched(LAN) as running:
        yield running


@pytest.fixture
async def chromium(running_chromium: Browser) -> AsyncIterator[Browser]:
    """A browser for which `chat.lan` is this machine."""
    async with watched(running_chromium):
        yield running_chromium


@pytest.fixture
async def stage(aiohttp_server: Any) -> Stage:
    """A session whose first message is being answered."""
    stage = Stage()
    stage.url = str((await aiohttp_server(stage.app)).make_url("/"))
    await stage.plays("session_started", user_id=OWNER, start_time=1)
    await stage.plays(
        "user_message", message_id="q", client_msg_id="c", text="Pay them", user_id=OWNER
    )
    await stage.plays("run", status="started", model="large")
    return stage

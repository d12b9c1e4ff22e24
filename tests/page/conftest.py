from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.page.acting import LAN
from tests.support.browser import browser


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A browser for which `chat.lan` is this machine."""
    async with browser(LAN) as running:
        yield running

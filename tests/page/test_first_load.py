"""What a visit costs, counted by the browser: headers and all."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page

from realtime.app import create_app
from realtime.config import Settings
from realtime.models.demo import DemoModel
from tests.page.acting import answered, live, say, start

MOST = 90_000  # bytes


class Wire:
    """A page, and the bytes of each answer that came over the wire for it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sizes: list[float] = []

    async def visit(self, context: BrowserContext, url: str) -> None:
        counter = await context.new_cdp_session(self.page)
        await counter.send("Network.enable")
        counter.on(
            "Network.loadingFinished", lambda told: self.sizes.append(told["encodedDataLength"])
        )
        await self.page.goto(url, wait_until="networkidle")


async def test_a_first_visit_is_light_and_the_next_one_free(
    aiohttp_server: Any, settings: Settings, chromium: Browser
) -> None:
    parent = web.Application()
    parent.add_subapp("/ai/", create_app(settings, model=DemoModel(delay_s=0)))
    host = await aiohttp_server(parent)
    url = str(host.make_url("/ai/"))
    context = await chromium.new_context()
    first, second = Wire(await context.new_page()), Wire(await context.new_page())
    await first.visit(context, url)
    assert 20_000 < sum(first.sizes) < MOST
    await start(first.page)
    await live(first.page)
    await say(first.page, "hello")
    await answered(first.page, "demo model")

    await second.visit(context, url)
    assert sum(second.sizes) < 5_000
    assert sum(map(bool, second.sizes)) <= 5, "the page, and what the server says of itself"
    asked = await second.page.evaluate(
        "performance.getEntriesByType('resource').map((one) => one.name)"
    )
    modules = [one for one in asked if one.endswith(".js")]
    assert len(modules) > 30
    assert len(modules) == len(set(modules))

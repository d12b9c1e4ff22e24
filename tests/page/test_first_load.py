"""What a visit costs, counted by the browser: headers and all."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from realtime.app import create_app
from realtime.config import Settings
from realtime.models.demo import DemoModel
from tests.page.acting import answered, live, opened, say, start
from tests.page.stage import Stage

MOST = 90_000  # bytes
LATER = ("approval-card", "edit-form", "queue-view")


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


async def test_what_a_first_visit_does_without_comes_although_the_server_was_away(
    stage: Stage, chromium: Browser
) -> None:
    context = await chromium.new_context()
    away, refused = True, set[str]()

    async def answer(route: Route) -> None:
        refused.update(name for name in LATER if away and name in route.request.url)
        await (route.abort() if away else route.continue_())

    for name in LATER:
        await context.route(f"**/{name}.*", answer)
    page = await opened(context, stage.url)
    call = {"tool_call_id": "t", "name": "pay", "arguments": {}, "approval": {"expires_at": None}}
    await stage.plays("tool_call", **call, status="awaiting_approval")
    ids = {"run_id": "r2", "message_id": "q2", "client_msg_id": "c2"}
    await stage.plays("user_message", **ids, text="And Bob?")
    await stage.plays("run", run_id="r2", message_id="a2", status="queued", model="large")
    await expect(page.locator(".tool-card")).to_be_visible()
    assert refused == set(LATER)
    away = False
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await expect(page.get_by_test_id("queue")).to_contain_text("And Bob?")
    await page.get_by_test_id("queue").get_by_role("button", name="Edit").click()
    await expect(page.get_by_label("Edit the message")).to_be_focused()


async def test_a_question_can_be_edited_while_the_server_is_away(
    stage: Stage, chromium: Browser
) -> None:
    context = await chromium.new_context()
    async with context.expect_event("requestfinished", lambda one: "/edit-form." in one.url):
        page = await opened(context, stage.url)
    await stage.plays("done", status="completed", model="large", text="Done.")
    await context.route("**/*", lambda route: route.abort())
    await page.get_by_role("button", name="Edit").first.click()
    await expect(page.get_by_label("Edit the message")).to_be_focused()


async def test_a_panel_that_did_not_come_is_asked_for_again(
    stage: Stage, chromium: Browser
) -> None:
    context = await chromium.new_context()
    await context.route("**/share-panel.*", lambda route: route.abort())
    page = await opened(context, stage.url)
    share = page.get_by_role("button", name="Share", exact=True)
    await share.click()
    await expect(page.get_by_text("The server cannot be reached")).to_be_visible()
    await context.unroute_all()
    await share.click()
    await expect(page.get_by_role("region", name="Share")).to_be_visible()

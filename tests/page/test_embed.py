"""The button that `embed.js` puts on any site, and the page in its frame."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, FrameLocator, Page, expect

from realtime.app import create_app
from realtime.auth import User
from realtime.config import Settings
from realtime.models.demo import DemoModel

Site = Callable[..., Awaitable[str]]

STRICT = (
    "default-src 'none'; script-src 'nonce-n' {server}; frame-src {server}; style-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
NAMES = "Reflect.ownKeys(window).map(String)"
GLOBALS = f"<script nonce=n>known = new Set(['known', ...{NAMES}])</script>"
LEAKED = f"{NAMES}.filter((name) => !known.has(name))"


async def authenticate(token: str | None, request: web.Request) -> User | None:
    return User(token, name=token) if token else None


@pytest.fixture
async def site(aiohttp_server: Any, settings: Settings) -> Site:
    """`await site()`: the URL of a site that shows the chat of a server on another origin."""

    async def start(
        before: str = "", after: str = "", *, listed: bool = True, policy: str = STRICT, **more: Any
    ) -> str:
        async def document(request: web.Request) -> web.Response:
            body = (
                '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
                f'{GLOBALS}<body>{before}<script nonce="n" src="{server}/embed.js"></script>{after}'
            )
            headers = {"Content-Security-Policy": policy.format(server=server)}
            return web.Response(text=body, content_type="text/html", headers=headers)

        app = web.Application()
        app.router.add_get("/", document)
        home = str((await aiohttp_server(app)).make_url("/"))
        ancestors = (home.rstrip("/"),) if listed else ()
        chat = create_app(
            replace(settings, frame_ancestors=ancestors), model=DemoModel(delay_s=0), **more
        )
        server = str((await aiohttp_server(chat)).make_url("")).rstrip("/")
        return home

    return start


def framed(page: Page) -> FrameLocator:
    return page.frame_locator("realtime-embed iframe")


async def test_a_button_opens_the_page_and_escape_closes_it(site: Site, chromium: Browser) -> None:
    page = await chromium.new_page()
    await page.goto(await site())
    assert await page.evaluate(LEAKED) == []
    button = page.get_by_role("button", name="Chat")
    await expect(page.locator("realtime-embed iframe")).to_have_count(0)
    await button.focus()
    await page.keyboard.press("Enter")
    chat = framed(page)
    await expect(chat.get_by_test_id("message-box")).to_be_focused()
    await expect(page.locator("realtime-embed iframe")).to_have_css("opacity", "1")
    await expect(page.get_by_text("One moment…")).to_be_hidden()
    await page.keyboard.type("count to 4")
    await page.keyboard.press("Enter")
    await expect(chat.locator(".message.assistant")).to_contain_text("1 2 3 4")

    await chat.locator("#more").click()
    await page.keyboard.press("Escape")
    await expect(chat.locator("#details")).to_be_hidden()
    await expect(page.get_by_role("dialog", name="Chat")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog", name="Chat")).to_be_hidden()
    await expect(button).to_be_focused()
    await expect(button).to_have_attribute("aria-expanded", "false")
    await button.click()
    await expect(chat.locator(".message.assistant")).to_contain_text("1 2 3 4")
    await chat.locator("#leave").click()
    await expect(button).to_be_focused()
    assert await page.evaluate(LEAKED) == []
    assert (await page.title(), page.url.count("/")) == ("", 3)


async def test_the_next_page_of_the_site_goes_on_with_the_chat(
    site: Site, chromium: Browser
) -> None:
    page = await chromium.new_page()
    await page.goto(await site())
    await page.get_by_role("button", name="Chat").click()
    await framed(page).get_by_test_id("message-box").fill("count to 4")
    await framed(page).get_by_test_id("message-box").press("Enter")
    await expect(framed(page).locator(".message.assistant")).to_contain_text("1 2 3 4")
    await page.reload()
    await page.get_by_role("button", name="Chat").click()
    await expect(framed(page).locator(".message.assistant")).to_contain_text("1 2 3 4")
    await framed(page).get_by_test_id("start-session").evaluate("(button) => button.click()")
    await expect(framed(page).locator(".message")).to_have_count(0)
    await page.reload()
    await page.get_by_role("button", name="Chat").click()
    await expect(framed(page).get_by_test_id("message-box")).to_be_focused()
    await expect(framed(page).locator(".message")).to_have_count(0)


async def test_it_fills_a_phone_and_moves_for_whoever_likes_that(
    site: Site, chromium: Browser
) -> None:
    size = {"width": 390, "height": 800}
    context = await chromium.new_context(viewport=size, reduced_motion="reduce")  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(await site())
    await page.get_by_role("button", name="Chat").click()
    panel = page.get_by_role("dialog", name="Chat")
    await expect(framed(page).locator("#leave")).to_be_visible()
    assert await panel.bounding_box() == {"x": 0, "y": 0, **size}
    await expect(panel).to_have_css("transition-duration", "0s")
    await framed(page).locator("#leave").click()
    await page.emulate_media(reduced_motion="no-preference")
    await page.get_by_role("button", name="Chat").click()
    await expect(panel).to_have_css("transition-duration", re.compile("0.15s"))


async def test_a_token_goes_to_the_page_and_to_nobody_else(site: Site, chromium: Browser) -> None:
    token = """<script nonce=n>
      realtimeChat = { token: async () => "ada" };
      overheard = null;
      addEventListener("message", ({ data }) => (overheard ??= data.overheard ?? null));
    </script>"""
    spy = """<iframe srcdoc="<script nonce=n>
      addEventListener('message', ({ data }) => parent.postMessage({ overheard: data }, '*'));
      setInterval(() => parent.postMessage({ realtime: 'token', id: 1 }, '*'), 20);
    </script>"></iframe>"""
    page = await chromium.new_page()
    await page.goto(await site(token, spy, authenticate=authenticate))
    await page.get_by_role("button", name="Chat").click()
    box = framed(page).get_by_test_id("message-box")
    await box.fill("fetch internal user analytics")
    await box.press("Enter")
    await expect(framed(page).locator(".message.assistant")).to_contain_text("Here are the figures")
    assert await page.evaluate("overheard") is None


async def test_a_site_that_may_not_show_it_is_told_why(site: Site, chromium: Browser) -> None:
    page = await chromium.new_page()
    home = await site(listed=False)
    await page.goto(home)
    await page.get_by_role("button", name="Chat").click()
    alert = page.locator("realtime-embed [role=alert]")
    wait, frame = page.get_by_text("One moment…"), page.locator("realtime-embed iframe")
    await expect(wait).to_be_visible()
    await expect(frame).to_have_css("opacity", "0")  # the browser's own sign that it may not
    await expect(alert).to_contain_text(f"FRAME_ANCESTORS={home.rstrip('/')}")
    await expect(wait).to_be_hidden()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Chat")).to_be_focused()


async def test_a_site_whose_policy_forbids_it_is_told_what_it_lacks(
    site: Site, chromium: Browser
) -> None:
    page = await chromium.new_page()
    await page.goto(await site(policy="script-src 'nonce-n' {server}; frame-src 'self'"))
    await page.get_by_role("button", name="Chat").click()
    alert = page.locator("realtime-embed [role=alert]")
    await expect(alert).to_contain_text("It lacks: frame-src http://127.0.0.1")


async def test_a_server_that_was_away_is_shown_once_it_is_back(
    site: Site, chromium: Browser
) -> None:
    page = await chromium.new_page()
    await page.goto(await site())
    await page.route("**/?embed=*", lambda route: route.abort("connectionrefused"))
    button = page.get_by_role("button", name=re.compile("Chat|Close"))
    await button.click()
    alert = page.locator("realtime-embed [role=alert]")
    await expect(alert).to_contain_text("cannot be reached now", timeout=20_000)
    await button.click()
    await page.unroute("**/?embed=*")
    await button.click()
    await expect(framed(page).get_by_test_id("message-box")).to_be_visible(timeout=20_000)
    await expect(alert).to_be_hidden()
    await expect(page.locator("realtime-embed iframe")).to_have_count(1)

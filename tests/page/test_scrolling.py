"""Who reads up there stays there, and finds the way back to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from realtime.models import Finished, ModelEvent, Request, TextDelta, Usage
from tests.page.acting import answered, opened, say
from tests.page.stage import OWNER, Stage
from tests.support.serving import Serve

LONG = "\n\n".join(f"paragraph {number}" for number in range(60))

SHAPES = "# Title\n\n- one\n- two\n\n$$\n\\frac{\\frac{a}{b}}{\\frac{c}{d}}\n$$\n\n```py\nx\n```"


async def exchanges(stage: Stage, numbers: Iterable[int], answer: str) -> None:
    for number in numbers:
        ids = {"run_id": f"r{number}", "user_id": OWNER}
        question = {"message_id": f"q{number}", "client_msg_id": f"c{number}"}
        await stage.plays("user_message", **ids, **question, text=f"question {number}")
        await stage.plays("run", **ids, message_id=f"a{number}", status="started", model="large")
        ended = {"message_id": f"a{number}", "status": "completed", "model": "large"}
        await stage.plays("done", **ids, **ended, text=answer)


class Spring:
    """Says a paragraph whenever it is told to."""

    name = label = "spring"

    def __init__(self) -> None:
        self.drops: asyncio.Queue[str] = asyncio.Queue()

    async def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        yield [TextDelta(LONG)]
        while drop := await self.drops.get():
            yield [TextDelta(f"\n\n{drop}")]
        yield [Usage(1, 1), Finished("stop")]

    async def check(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def test_a_step_up_ends_following_and_the_button_brings_it_back(
    serve: Serve, chromium: Browser
) -> None:
    model = Spring()
    page = await opened(chromium, (await serve(model)).url)
    await say(page, "tell me")
    await answered(page, "paragraph 59")
    newest = page.get_by_test_id("newest")
    await expect(newest).to_be_hidden()
    model.drops.put_nowait("followed")
    await expect(page.get_by_text("followed")).to_be_in_viewport()

    await expect(page.locator("#scroll")).to_have_css("overflow-anchor", "none")
    await page.locator("#scroll").hover()
    await page.mouse.wheel(0, -8)
    await expect(newest).to_be_visible()
    await expect(newest).to_have_attribute("data-news", "false")
    await expect(page.locator("#scroll")).to_have_css("overflow-anchor", "auto")
    top = await page.locator("#scroll").evaluate("(scroll) => scroll.scrollTop")
    model.drops.put_nowait("\n\n".join(["unseen"] * 20))
    await expect(page.get_by_text("unseen")).to_have_count(20)
    await expect(newest).to_have_attribute("data-news", "true")
    assert await page.locator("#scroll").evaluate("(scroll) => scroll.scrollTop") == top

    await newest.click()
    await expect(newest).to_be_hidden()
    model.drops.put_nowait("seen again")
    await expect(page.get_by_text("seen again")).to_be_in_viewport()
    await page.locator("#scroll").press("ArrowUp")
    await expect(newest).to_be_visible()
    await page.locator("#scroll").press("End")
    await expect(newest).to_be_hidden()
    model.drops.put_nowait("and again")
    await expect(page.get_by_text("and again")).to_be_in_viewport()
    await page.get_by_test_id("stop").click()
    await expect(page.get_by_test_id("message-box")).to_be_focused()


@pytest.mark.parametrize("down", [0, 12])
async def test_older_messages_come_above_what_is_read(
    aiohttp_server: Any, chromium: Browser, down: int
) -> None:
    stage = Stage()
    await stage.plays("session_started", user_id=OWNER, start_time=1)
    await exchanges(stage, range(6), LONG[:200])
    stage.first = len(stage.log) + 1
    await exchanges(stage, range(6, 12), LONG[:200])
    page = await opened(chromium, str((await aiohttp_server(stage.app)).make_url("/")))
    await expect(page.locator(".message.user")).to_have_count(6)
    await expect(page.get_by_test_id("message-box")).to_be_focused()  # it takes the focus once
    for _ in range(10):
        await page.locator("#scroll").press("Home")
        await asyncio.sleep(0.2)
    earlier = page.get_by_role("button", name="Show earlier messages")
    await expect(earlier).to_be_in_viewport()
    await page.locator("#scroll").evaluate("(scroll, down) => scroll.scrollTo(0, down)", down)
    read = page.get_by_test_id("transcript").get_by_text("question 6")
    before = await read.bounding_box()
    await earlier.click()
    await expect(page.locator(".message.user")).to_have_count(12)
    after = await read.bounding_box()
    assert before
    assert after
    assert abs(after["y"] - before["y"]) < 2


@pytest.mark.parametrize("height", [390, 256])
async def test_a_low_window_follows_too(serve: Serve, chromium: Browser, height: int) -> None:
    """A phone on its side, and a page that is zoomed far in: there the whole chat scrolls."""
    model = Spring()
    page = await chromium.new_page(
        viewport={"width": 800 if height > 300 else 320, "height": height}
    )
    await page.goto((await serve(model)).url)
    await say(page, "tell me")
    await answered(page, "paragraph 59")
    newest = page.get_by_test_id("newest")
    model.drops.put_nowait("followed")
    await expect(page.get_by_text("followed")).to_be_in_viewport()
    await expect(page.get_by_test_id("message-box")).to_be_in_viewport()
    await expect(newest).to_be_hidden()

    await page.get_by_test_id("transcript").hover()
    await page.mouse.wheel(0, -8)
    await expect(newest).to_be_in_viewport()
    await asyncio.sleep(0.5)  # it scrolls smoothly
    top = await page.evaluate("document.body.scrollTop")
    model.drops.put_nowait("\n\n".join(["unseen"] * 20))
    await expect(page.get_by_text("unseen")).to_have_count(20)
    assert await page.evaluate("document.body.scrollTop") == top
    await newest.click()
    await expect(newest).to_be_hidden()
    model.drops.put_nowait("seen again")
    await expect(page.get_by_text("seen again")).to_be_in_viewport()


BELOW = "({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight"


async def at_the_end(page: Page) -> None:
    async with asyncio.timeout(20):
        while await page.locator("#scroll").evaluate(BELOW) > 2:
            await asyncio.sleep(0.05)


async def test_what_is_drawn_late_does_not_push_the_end_out_of_view(
    aiohttp_server: Any, chromium: Browser
) -> None:
    stage = Stage()
    await stage.plays("session_started", user_id=OWNER, start_time=1)
    await exchanges(stage, range(12), SHAPES)
    page = await chromium.new_page()
    held = asyncio.Event()

    async def late(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/answer.*.js", late)
    await page.route("**/temml*", late)
    await page.goto(str((await aiohttp_server(stage.app)).make_url("/")), wait_until="commit")
    await page.get_by_test_id("start-session").click()
    await expect(page.locator(".message.user")).to_have_count(12)
    held.set()
    await expect(page.locator(".message.assistant math")).to_have_count(12)
    await at_the_end(page)

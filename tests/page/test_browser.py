"""The whole story as a user has it: `make run`, and the page in a real browser."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.page.acting import live, say, shared, start, started
from tests.support.process import ROOT, free_port, process, server

ARTIFACTS = ROOT / "tests/artifacts/story"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="make and apt are of POSIX systems")


async def answered(page: Page, count: int) -> None:
    """Wait for so many answers, and for nothing to be running."""
    await expect(page.locator(".message.assistant")).to_have_count(count)
    await expect(page.get_by_test_id("stop")).to_be_hidden()


async def test_the_story(tmp_path: Path, chromium: Browser) -> None:
    assert shutil.which("make"), "the tests need make"
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    ARTIFACTS.mkdir(parents=True)
    async with (
        process(
            "make",
            "run",
            cwd=ROOT,
            PORT="0",
            HOST="127.0.0.1",
            DATABASE_PATH=str(tmp_path / "browser.db"),
            GRACE_SECONDS="1",
        ) as running,
    ):
        url = (await running.says(r"Listening\s+(http://\S+)\s"))[1]
        context = await chromium.new_context()
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = await context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda line: complaints.append(line.text) if line.type == "error" else None,
        )

        await page.goto(url)
        await expect(page.locator("body")).to_contain_text(re.compile("demo", re.I))
        await start(page)
        await live(page)

        await say(page, "My name is Ada.")
        await answered(page, 1)
        await say(page, "fetch internal user analytics")
        card = page.locator(".tool-card[data-status=completed]")
        await expect(card).to_contain_text("fetch_internal_user_analytics")
        await expect(card).to_contain_text("sessions_today")
        await answered(page, 2)
        assert await page.locator(".message.assistant strong").count(), "Markdown is rendered"
        await say(page, "What is my name?")
        await answered(page, 3)
        await expect(page.locator(".message.assistant").last).to_contain_text("Ada")
        await page.screenshot(path=ARTIFACTS / "session.png")

        await say(page, "count to 120")
        await expect(page.locator(".message.assistant").last).to_contain_text("7 8 9")
        await page.reload()
        await expect(page.locator(".message.assistant").last).to_contain_text("1 2 3 4 5 6 7 8 9")
        await answered(page, 4)
        whole = " ".join(str(number) for number in range(1, 121))
        await expect(page.locator(".message.assistant").last).to_contain_text(whole)

        link = await shared(page)
        await page.locator(".links").get_by_role("button", name="Copy").click()
        await expect(page.locator(".links").get_by_label("Copied")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == link
        other = await chromium.new_context(viewport={"width": 360, "height": 740})
        phone = await other.new_page()
        await phone.goto(link)
        await expect(phone.locator(".message.user")).to_have_count(4)
        await say(phone, "count to 1000")
        await expect(page.locator(".message.assistant").last).to_contain_text("1 2 3")
        await page.get_by_test_id("stop").click()
        for device in (page, phone):
            notice = device.locator(".notice[data-status=cancelled]")
            await expect(notice).to_be_visible()
        await phone.screenshot(path=ARTIFACTS / "phone.png")
        await other.close()

        session_id = await page.evaluate(
            "JSON.parse(sessionStorage['realtime.session']).session_id"
        )
        await page.close()
        page = await context.new_page()
        await page.goto(url)
        past = page.get_by_test_id("past-sessions")
        await expect(past).to_contain_text("My name is Ada")
        await past.locator("button, a").first.click()
        await expect(page.get_by_test_id("transcript")).to_contain_text("What is my name?")
        assert page.url.endswith(f"/c/{session_id}")
        await page.screenshot(path=ARTIFACTS / "past.png")
        assert re.fullmatch("[0-9a-f-]{36}", session_id)
        assert complaints == []
        assert "Traceback" not in running.output


async def test_killed_and_back_the_page_goes_on(tmp_path: Path, chromium: Browser) -> None:
    """A crash in mid-answer: the page says so, comes back by itself, and offers to go on."""
    port = str(free_port())
    async with server(tmp_path, PORT=port) as running:
        page = await started(chromium, running.url)
        await say(page, "count to 2000")
        await expect(page.locator(".message.assistant").last).to_contain_text("1 2 3 4")
        running.child.kill()
        state = page.get_by_test_id("connection-state")
        await expect(state).not_to_have_attribute("data-state", "live")
    async with server(tmp_path, PORT=port):
        await live(page)
        await expect(page.locator(".notice[data-status=interrupted]")).to_be_visible()
        await page.get_by_role("button", name="Continue").click()
        await expect(page.locator(".notice[data-status=interrupted]")).to_have_count(0)
        await expect(page.get_by_test_id("stop")).to_be_visible()

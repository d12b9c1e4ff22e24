"""The page where something stands in its way: the network, the proxy, the browser's settings,
a message that is too long."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    Page,
    Route,
    WebSocketRoute,
    async_playwright,
    expect,
)

from realtime.models.demo import DemoModel
from tests.page.acting import (
    answered,
    begin,
    live,
    on_the_lan,
    opened,
    say,
    says,
    shared,
    start,
    started,
)
from tests.support.browser import FLAGS, chrome
from tests.support.fetch import fetch
from tests.support.proxy import proxy
from tests.support.serving import Running, Serve


def port_of(running: Running) -> int:
    port = urlsplit(running.url).port
    assert port
    return port


async def test_without_a_secure_context_everything_works(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await chromium.new_page()
    await page.goto(on_the_lan(running.url))
    assert await page.evaluate("isSecureContext || Boolean(crypto.randomUUID)") is False
    await start(page)
    await say(page, "count to 5")
    await answered(page, "1 2 3 4 5")
    other = await (await chromium.new_context()).new_page()
    await other.goto(await shared(page))
    await answered(other, "1 2 3 4 5")


async def test_a_send_that_throws_says_so_and_keeps_the_text(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    page = await opened(chromium, running.url)
    await page.evaluate(
        "() => void (crypto.getRandomValues = () => { throw new Error('no entropy') })"
    )
    await say(page, "keep me")
    await expect(page.locator("#toast")).to_contain_text("no entropy")
    await expect(page.get_by_test_id("message-box")).to_have_value("keep me")


@pytest.mark.parametrize("text", ["字" * 22_000, "\u0001" * 12_000], ids=["text", "frame"])
async def test_what_is_too_long_is_not_sent_and_can_be_edited(
    serve: Serve, text: str, chromium: Browser
) -> None:
    """The second is short enough as a text; as JSON it is larger than a frame may be."""
    running = await serve()
    page = await chromium.new_page()
    sockets: list[Any] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    await begin(page, running.url)
    await live(page)
    await say(page, text)
    await say(page, "count to 5")
    await answered(page, "1 2 3 4 5")
    refused = page.locator(".message.pending")
    await expect(refused).to_contain_text("too long to send")
    await below(page, "count to 5")
    await page.reload()
    await live(page)
    await expect(refused).to_contain_text("too long to send")
    await below(page, "count to 5")
    await say(page, "count to 6")
    await answered(page, "1 2 3 4 5 6")
    await below(page, "count to 5", "count to 6")
    assert len(sockets) == 2

    await refused.get_by_role("button", name="Edit").click()
    await expect(page.get_by_test_id("message-box")).to_have_value(text)
    await expect(refused).to_have_count(0)
    await say(page, text)
    await refused.get_by_role("button", name="Discard").click()
    await expect(refused).to_have_count(0)
    assert len(sockets) == 2


async def below(page: Page, *said: str) -> None:
    """What was said after the refused message stands below it, and the last of it is in view."""
    texts = page.locator(".message.user .text")
    await expect(texts).to_have_count(1 + len(said))
    await expect(page.locator(".message.user").first).to_have_class(re.compile("pending"))
    assert (await texts.all_text_contents())[1:] == list(said)
    await expect(texts.last).to_be_in_viewport()


async def test_it_is_known_to_be_too_long_before_there_is_a_connection(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(running.url)
    await expect(page.locator("#model")).to_be_visible()
    await context.set_offline(True)
    await start(page)
    await say(page, "字" * 22_000)
    await expect(page.locator(".message.pending")).to_contain_text("too long to send")


async def test_a_message_that_breaks_the_line_does_not_hold_up_the_others(
    serve: Serve, chromium: Browser
) -> None:
    """Something on the way takes less than the server says."""
    running = await serve()

    async def unlimited(route: Route) -> None:
        info = await (await route.fetch()).json()
        await route.fulfill(json={**info, "limits": {}})

    page = await chromium.new_page()
    await page.route("**/api/info", unlimited)
    await begin(page, running.url)
    await live(page)
    await say(page, "x" * 100_000)
    await say(page, "count to 5")
    failed = page.locator(".message.pending[data-status=failed]")
    await expect(failed).to_contain_text("broke 3 times")
    await answered(page, "1 2 3 4 5")
    await page.reload()
    await live(page)
    await expect(failed).to_contain_text("broke 3 times")
    await say(page, "count to 6")
    await answered(page, "1 2 3 4 5 6")
    await expect(failed.get_by_role("button", name="Try again")).to_be_visible()
    await failed.get_by_role("button", name="Discard").click()
    await expect(failed).to_have_count(0)


async def test_a_first_connection_that_fails_says_why(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    async with proxy(port_of(running)) as between:
        context = await chromium.new_context()
        page = await context.new_page()
        await page.goto(between.url)
        await context.set_offline(True)
        await start(page)
        await says(page, "This device is offline")
        await expect(page.locator("#share-panel")).to_be_hidden()
        await say(page, "count to 5")
        between.cut()
        await context.set_offline(False)
        await says(page, "The server cannot be reached")
        between.refusing = False
        await answered(page, "1 2 3 4 5")
        await expect(page.locator("#banner")).not_to_contain_text("reached")


async def test_a_busy_server_is_quoted(serve: Serve, chromium: Browser) -> None:
    running = await serve(connects_per_minute=1, spare_loopback=False)
    await opened(chromium, running.url)
    second = await started(chromium, running.url)
    await says(second, "too many connections from your address")


async def test_a_refused_origin_is_named(serve: Serve, chromium: Browser) -> None:
    """A proxy in front gives the server a host of its own."""
    running = await serve()
    async with proxy(port_of(running)) as between:
        host = between.url.removeprefix("http://").encode()
        between.rewrites = (b"Host: " + host, b"Host: backend:8000")
        page = await started(chromium, between.url)
        await says(page, f"The server refuses pages from {between.url}")
        await says(page, "ALLOWED_ORIGINS")


async def test_a_front_end_elsewhere_learns_that_its_origin_is_refused(
    serve: Serve, tmp_path: Path, chromium: Browser
) -> None:
    page_server, server = await serve(), await serve(database_path=str(tmp_path / "other.db"))
    context = await chromium.new_context(bypass_csp=True)  # another front end has its own
    page = await context.new_page()
    await page.goto(page_server.url)
    found = await page.evaluate(
        """async (url) => {
          const { places, whyNot } = await import("./client/reach.js");
          return (await whyNot(places(url))).code;
        }""",
        server.url,
    )
    assert found == "forbidden_origin"


@asynccontextmanager
async def blocking(folder: Path) -> AsyncIterator[Page]:
    """A browser whose user lets no page store anything."""
    (folder / "Default").mkdir(parents=True)
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (folder / "Default" / "Preferences").write_text(json.dumps(blocked))
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            folder, executable_path=chrome(), args=FLAGS
        )
        try:
            yield await context.new_page()
        finally:
            await context.close()


async def test_blocked_storage_is_replaced_by_memory(serve: Serve, tmp_path: Path) -> None:
    running = await serve(DemoModel(delay_s=0.002))
    async with blocking(tmp_path / "profile") as page:
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await begin(page, running.url)
        await say(page, "count to 5")
        await answered(page, "1 2 3 4 5")
        await says(page, "stores nothing")
        for link in list(running.server.connections):
            running.server.transport.shut(link.sid)
        await say(page, "count to 6")
        await answered(page, "1 2 3 4 5 6")
        assert complaints == []


async def test_a_huge_text_is_no_lack_of_storage(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await opened(chromium, running.url)
    await page.evaluate(
        """() => {
          const there = Object.entries(sessionStorage).flat().join("").length;
          sessionStorage.setItem("other", "x".repeat(5 * 2 ** 20 - there - 150_000));
        }"""
    )
    box = page.get_by_test_id("message-box")
    await box.evaluate(
        """box => { box.value = "x".repeat(200_000); box.dispatchEvent(new Event("input")); }"""
    )
    await expect(page.get_by_test_id("send")).to_be_enabled()
    await expect(page.locator("#banner")).not_to_contain_text("stores nothing")
    await box.fill("hello")
    await box.press("Enter")
    await says(page, "Demonstration model")


async def test_full_or_spoilt_storage_is_no_obstacle(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await chromium.new_page()
    await page.goto(f"{running.url}/healthz")
    await page.evaluate(
        """() => {
          sessionStorage["realtime.session"] = sessionStorage["realtime.outbox"] = "{spoilt";
          for (const storage of [localStorage, sessionStorage]) {
            let size = 1 << 22;
            for (let n = 0; size >= 1; n++) {
              try { storage.setItem(`other${n}`, "x".repeat(size)); } catch { size /= 2; }
            }
          }
        }"""
    )
    await begin(page, running.url)
    await say(page, "count to 5")
    await answered(page, "1 2 3 4 5")
    await says(page, "stores nothing")


@pytest.mark.parametrize("together", [True, False])
async def test_two_first_tabs_are_one_guest(
    serve: Serve, together: bool, chromium: Browser
) -> None:
    """Both have asked before either is answered; where there are no locks, too."""
    running = await serve()
    asked = 0
    both, answer_second = asyncio.Event(), asyncio.Event()
    if together:
        answer_second.set()

    async def line(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        place = 0

        def to_server(frame: str | bytes) -> None:
            nonlocal asked, place
            if str(frame).startswith("40"):
                asked = place = asked + 1
                if asked == 2:
                    both.set()
            server.send(frame)

        async def to_page(frame: str | bytes) -> None:
            if str(frame).startswith('42["session"'):
                await both.wait()
                if place == 2:
                    await answer_second.wait()
            socket.send(frame)

        socket.on_message(to_server)
        server.on_message(to_page)

    context = await chromium.new_context()
    await context.route_web_socket("**/socket.io/**", line)
    tabs = [await context.new_page() for _ in range(2)]
    for tab in tabs:
        await begin(tab, on_the_lan(running.url))
    if not together:
        await live(tabs[0])
        answer_second.set()
    for number, tab in enumerate(tabs):
        await live(tab)
        await say(tab, f"count to {number + 4}")
    for number, tab in enumerate(tabs):
        await answered(tab, f"1 2 3 4{' 5' * number}")
    for number, tab in enumerate(tabs):
        await tab.reload()
        await live(tab)
        await answered(tab, f"1 2 3 4{' 5' * number}")


async def test_a_click_before_the_server_has_spoken_is_not_lost(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    asked, release = asyncio.Event(), asyncio.Event()

    async def held(route: Route) -> None:
        asked.set()
        await release.wait()
        await route.continue_()

    page = await chromium.new_page()
    await page.route("**/api/info", held)
    await page.goto(running.url)
    await asked.wait()
    await start(page)
    await expect(page.get_by_test_id("connection-state")).to_have_text("Connecting…")
    await say(page, "count to 5")
    release.set()
    await answered(page, "1 2 3 4 5")


async def info_at_last(chromium: Browser, url: str, said: dict[str, Any]) -> Page:
    """A page whose first two questions for the server's description go wrong."""
    page = await chromium.new_page()
    answers: list[dict[str, Any]] = [
        {"status": 502, "body": "<h1>Bad Gateway</h1>"},
        {"status": 200, "body": "<h1>Starting…</h1>"},
    ]

    async def answer(route: Route) -> None:
        if answers:
            await route.fulfill(**answers.pop(0))
        else:
            info = await (await route.fetch()).json()
            await route.fulfill(json={**info, **said})

    await page.route("**/api/info", answer)
    await page.goto(url)
    return page


async def test_what_the_server_is_is_asked_again_until_it_says(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    sign_in = {"url": "https://project.example", "key": "sb_publishable_x"}
    page = await info_at_last(chromium, running.url, {"sign_in": sign_in})
    await expect(page.get_by_test_id("email")).to_be_visible()
    await expect(page.get_by_test_id("start-session")).to_be_hidden()
    page = await info_at_last(chromium, running.url, {})
    await start(page)
    await live(page)
    await expect(page.locator("#model")).to_be_visible()


async def test_a_draft_survives_a_reload(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await opened(chromium, running.url)
    box = page.get_by_test_id("message-box")
    await box.fill("half a\nthought")
    await page.reload()
    await expect(box).to_have_value("half a\nthought")
    await say(page, "count to 5")
    await answered(page, "1 2 3 4 5")
    await page.reload()
    await expect(box).to_have_value("")


async def test_enter_that_ends_a_composition_sends_nothing(serve: Serve, chromium: Browser) -> None:
    """Safari's order: the composition has ended by then, and only the key's code tells."""
    running = await serve()
    page = await opened(chromium, running.url)
    box = page.get_by_test_id("message-box")
    await box.fill("日本語")
    await box.evaluate(
        """(box) => box.dispatchEvent(new KeyboardEvent("keydown", {
          key: "Enter", keyCode: 229, bubbles: true, cancelable: true }))"""
    )
    await expect(box).to_have_value("日本語")
    await expect(page.locator(".message")).to_have_count(0)


async def test_the_server_tells_what_it_takes(serve: Serve) -> None:
    running = await serve(text_kb=1)
    info = (await fetch(f"{running.url}/api/info")).json()
    assert info["limits"] == {
        "text_bytes": 1024,
        "frame_bytes": 65536,
        "file_bytes": 20 * 2**20,
        "message_files": 10,
    }

"""The box: a draft for each session, what is too long, and the model of a session that begins."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import Browser, Route, WebSocketRoute, expect

from realtime.models.demo import DemoModel
from realtime.runs.chain import Chain, Link
from tests.page.acting import answered, live, say
from tests.page.stage import SESSION, Stage
from tests.support.browser import browser
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve


async def test_each_session_keeps_a_draft_of_its_own(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(running.url)
    box = page.get_by_test_id("message-box")
    await say(page, "count to 4")
    await answered(page, "1 2 3 4")
    await expect(box).to_have_value("")
    first = page.url
    await box.fill("for the first")
    await page.get_by_test_id("start-session").click()
    await expect(box).to_have_value("")
    await box.fill("for a new one")
    await page.locator("#past-sessions a").click()
    await expect(box).to_have_value("for the first")
    await expect(page).to_have_url(first)
    await page.reload()
    await expect(box).to_have_value("for the first")
    await page.get_by_test_id("start-session").click()
    await expect(box).to_have_value("for a new one")

    await box.fill("count to 5")
    await box.press("Enter")
    await box.press_sequentially("and then")
    await answered(page, "1 2 3 4 5")
    await expect(box).to_have_value("and then")
    await page.reload()
    await expect(box).to_have_value("and then")
    await page.get_by_test_id("start-session").click()
    await expect(box).to_have_value("")

    for row in await page.locator("#past-sessions .session").element_handles():
        await page.locator("#past-sessions .session").first.hover()
        await page.locator("#past-sessions .dots").first.click()
        await page.locator("#session-menu").get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await row.wait_for_element_state("hidden")
    kept = "Object.keys(sessionStorage).filter((key) => key.startsWith('realtime.draft'))"
    async with asyncio.timeout(20):  # the list is told by the server
        while await page.evaluate(kept):
            await asyncio.sleep(0.05)


async def test_what_is_sent_before_another_session_has_come_goes_there(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    page = await chromium.new_page()
    held: list[str] | None = None  # what the server says, as long as it is on its way

    async def line(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def told(message: str | bytes) -> None:
            if held is None or not isinstance(message, str):
                route.send(message)
            else:
                held.append(message)

        server.on_message(told)
        route.on_message(server.send)
        lines.append(route)

    lines: list[WebSocketRoute] = []
    await page.route_web_socket("**/socket.io/**", line)
    await page.goto(running.url)
    await say(page, "count to 4")
    await answered(page, "1 2 3 4")
    await expect(page.get_by_test_id("stop")).to_be_hidden()
    held = []
    await page.get_by_test_id("start-session").click()
    await say(page, "count to 5")
    await page.wait_for_timeout(500)
    late, held = held, None
    for message in late:
        lines[-1].send(message)
    await answered(page, "1 2 3 4 5")
    await expect(page.locator(".message.user")).to_have_count(1)
    await expect(page.locator("#past-sessions .session")).to_have_count(2)


async def test_no_key_is_lost_while_the_page_begins(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await chromium.new_page()
    begin = asyncio.Event()

    async def late(route: Route) -> None:
        await begin.wait()
        await route.continue_()

    await page.route("**/words/en.*", late)
    await page.goto(running.url)
    box = page.get_by_test_id("message-box")
    await expect(box).to_have_count(0)
    begin.set()
    await expect(box).to_be_focused()
    await say(page, "count to 4")
    await answered(page, "1 2 3 4")


async def test_a_page_whose_modules_do_not_come_says_so(serve: Serve) -> None:
    running = await serve()
    async with browser(throws=True) as chromium:
        page = await chromium.new_page()
        await page.route("**/words/en.*", lambda route: route.abort())
        await page.goto(running.url)
        late = page.get_by_text("This page has not loaded yet.")
        await expect(late).to_be_hidden()
        await page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
        await expect(late).to_be_visible()
        await page.unroute_all()
        await page.reload()
        await expect(page.get_by_test_id("message-box")).to_be_visible()
        await expect(late).to_have_count(0)


async def test_the_box_is_as_high_as_its_text(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await chromium.new_page(viewport={"width": 390, "height": 800})
    await page.goto(running.url)
    box = page.get_by_test_id("message-box")
    one = await box.evaluate("(box) => box.clientHeight")
    await box.fill("more than a phone has room for in a line, " * 2)
    higher, text = await box.evaluate("(box) => [box.clientHeight, box.scrollHeight]")
    assert one < higher == text
    await box.fill("and more, " * 200)
    highest, text = await box.evaluate("(box) => [box.clientHeight, box.scrollHeight]")
    assert higher < highest < 300 < text


async def test_a_long_message_is_counted_before_it_is_too_long(
    stage: Stage, chromium: Browser
) -> None:
    stage.info["limits"] = {"text_bytes": 2048, "frame_bytes": 65_536}
    page = await chromium.new_page()
    await page.goto(stage.url)
    await expect(page.locator("#model")).to_have_text("large")
    count = page.get_by_test_id("count")
    for text, counted in (("x" * 1600, None), ("字" * 600, "1.8 KB of 2 KB"), ("x" * 2100, "true")):
        await page.get_by_test_id("message-box").fill(text)
        if counted is None:
            await expect(count).to_be_hidden()
        elif counted == "true":
            await expect(count).to_have_attribute("data-over", "true")
        else:
            await expect(count).to_have_text(counted)


async def test_a_new_chat_has_the_model_that_was_chosen(serve: Serve, chromium: Browser) -> None:
    chain = Chain([Link(DemoModel(delay_s=0), ""), Link(ScriptedModel(says("Paris.")), "")])
    running = await serve(chain)
    page = await chromium.new_page()
    await page.goto(running.url)
    models = page.get_by_test_id("models")
    await expect(models.locator("option")).to_have_text(["demo", "scripted"])
    await models.select_option("scripted")
    await say(page, "Capital of France?")
    await answered(page, "Paris.")
    await expect(models).to_be_hidden()
    await expect(page.locator("#model")).to_have_text("scripted")
    await page.get_by_test_id("start-session").click()
    await expect(models).to_be_visible()
    await models.focus()
    await models.select_option("scripted")
    await models.select_option("demo")  # as the arrow keys pass over one
    await live(page)
    await expect(models).to_be_focused()
    await say(page, "count to 4")
    await answered(page, "1 2 3 4")
    await expect(page.locator("#past-sessions .session")).to_have_count(2)


async def test_what_is_sent_just_before_a_reload_is_answered(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    page = await chromium.new_page()
    held = True

    def line(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        route.on_message(
            lambda message: None if held and '"send"' in str(message) else server.send(message)
        )

    await page.route_web_socket("**/socket.io/**", line)
    await page.goto(running.url)
    await say(page, "count to 4")
    await expect(page).to_have_url(re.compile("/c/"))
    held = False
    await page.goto(running.url)
    await answered(page, "1 2 3 4")
    await expect(page.locator("#past-sessions .session")).to_have_count(1)


async def test_what_is_typed_before_a_new_chat_has_come_is_in_its_box(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    page = await chromium.new_page()
    await page.route_web_socket("**/socket.io/**", lambda route: None)
    await page.goto(running.url)
    await page.get_by_test_id("start-session").click()
    await page.keyboard.type("hello")
    await expect(page.get_by_test_id("message-box")).to_have_value("hello")

    page = await chromium.new_page()
    await page.goto(f"{running.url}/c/{SESSION}")
    await expect(page.locator("#trouble")).to_be_visible()
    await page.get_by_test_id("start-session").click()
    await page.keyboard.type("hello")
    await expect(page.get_by_test_id("message-box")).to_have_value("hello")


async def test_new_chats_before_the_first_connection_are_chats_of_their_own(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    page = await chromium.new_page()
    begin = asyncio.Event()

    async def line(route: WebSocketRoute) -> None:
        await begin.wait()
        route.connect_to_server()

    await page.route_web_socket("**/socket.io/**", line)
    await page.goto(running.url)
    await say(page, "count to 4")
    await page.get_by_test_id("start-session").click()
    await expect(page.locator(".message.user")).to_have_count(0)
    await say(page, "count to 5")
    begin.set()
    await answered(page, "1 2 3 4 5")
    await expect(page.locator(".message.user")).to_have_count(1)
    await expect(page.locator("#past-sessions .session")).to_have_count(2)


async def test_a_message_that_waits_for_a_connection_can_be_taken_back(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(running.url)
    await say(page, "count to 4")
    await answered(page, "1 2 3 4")
    await context.set_offline(True)
    await say(page, "count to 5")
    await say(page, "count to 6")
    waiting = page.locator(".message.pending")
    await expect(waiting).to_have_text([re.compile("to 5Not sent yet"), re.compile("to 6")])
    await waiting.first.get_by_role("button", name="Discard").click()
    await waiting.first.get_by_role("button", name="Edit").click()
    await expect(page.get_by_test_id("message-box")).to_have_value("count to 6")
    await expect(waiting).to_have_count(0)
    await context.set_offline(False)
    await page.get_by_test_id("message-box").press("Enter")
    await answered(page, "1 2 3 4 5 6")
    await expect(page.locator(".message.user")).to_have_count(2)


async def test_what_is_typed_before_a_link_leads_nowhere_stays_in_the_box(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    page = await chromium.new_page()
    begin = asyncio.Event()

    async def line(route: WebSocketRoute) -> None:
        await begin.wait()
        route.connect_to_server()

    await page.route_web_socket("**/socket.io/**", line)
    await page.goto(f"{running.url}/c/{SESSION}")
    await page.get_by_test_id("message-box").fill("count to 5")
    begin.set()
    await expect(page.locator("#trouble")).to_be_visible()
    await expect(page.get_by_test_id("message-box")).to_have_value("count to 5")
    await page.get_by_test_id("message-box").press("Enter")
    await answered(page, "1 2 3 4 5")

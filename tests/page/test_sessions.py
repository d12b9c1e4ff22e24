"""The list of sessions, and the address of each: chosen, found, renamed, kept, deleted."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, expect

from realtime.app import create_app
from realtime.config import Settings
from realtime.models import TextDelta
from realtime.models.demo import DemoModel
from realtime.tools import tool
from tests.page.acting import answered, live, say, says, shared
from tests.page.stage import OWNER, SESSION, Stage
from tests.support.scripted import ScriptedModel, asks
from tests.support.serving import Serve


@tool(approval=True)
def pay() -> str:
    """Pay somebody."""
    return "paid"


OF_A_SESSION = re.compile(r"/c/[0-9a-f-]{36}$")


async def one_said(context: Browser | BrowserContext, url: str, text: str) -> Page:
    """A page on which a first message was answered. Nothing was clicked before."""
    page = await context.new_page()
    await page.goto(url)
    await say(page, text)
    await answered(page, "1 2 3")
    return page


async def another(page: Page, text: str) -> None:
    await page.get_by_test_id("start-session").click()
    await expect(page.locator("body")).to_have_attribute("data-view", "new")
    await say(page, text)
    await answered(page, "1 2 3")


def rows(page: Page) -> Any:
    return page.locator("#past-sessions .session")


async def act(page: Page, row: Any, name: str) -> None:
    await row.hover()
    await row.locator(".dots").click()
    await page.locator("#session-menu").get_by_role("button", name=name, exact=True).click()


async def test_each_session_has_an_address(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    context = await chromium.new_context()
    page = await one_said(context, running.url, "count to 4")
    await expect(page).to_have_url(OF_A_SESSION)
    first = page.url
    await another(page, "count to 5")
    await expect(page).not_to_have_url(first)
    second = page.url
    await expect(rows(page)).to_have_count(2)
    await rows(page).last.locator("a").click()
    await expect(page).to_have_url(first)
    await answered(page, "1 2 3 4")

    await page.go_back()
    await expect(page).to_have_url(second)
    await answered(page, "1 2 3 4 5")
    await page.reload()
    await expect(page).to_have_url(second)
    await answered(page, "1 2 3 4 5")
    assert await page.evaluate("history.length") == 4, "no step without a session of its own"

    other = await context.new_page()
    await other.goto(first)
    await answered(other, "1 2 3 4")
    await say(other, "count to 6")
    await answered(other, "1 2 3 4 5 6")


async def test_an_address_of_nobody_says_so(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await one_said(await chromium.new_context(), running.url, "count to 4")
    await page.goto(f"{running.url}/c/11111111-1111-4111-8111-111111111111")
    await expect(page.locator("#trouble")).to_contain_text("not here any more")
    await expect(rows(page)).to_have_count(1)
    await expect(page.get_by_test_id("message-box")).to_be_focused()
    await page.keyboard.type("count to 5")
    await page.keyboard.press("Enter")
    await answered(page, "1 2 3 4 5")
    await expect(rows(page)).to_have_count(2)
    await another(page, "count to 6")


@pytest.mark.parametrize("depth", ["/ai/", "/a/b/"])
async def test_under_a_path(
    aiohttp_server: Any, settings: Settings, chromium: Browser, depth: str
) -> None:
    parent = web.Application()
    parent.add_subapp(depth, create_app(settings, model=DemoModel(delay_s=0)))
    url = str((await aiohttp_server(parent)).make_url(depth))
    page = await one_said(await chromium.new_context(), url, "count to 4")
    await expect(page).to_have_url(re.compile(re.escape(url) + "c/[0-9a-f-]{36}$"))
    await page.reload()
    await live(page)
    await answered(page, "1 2 3 4")


async def test_a_share_stays_with_its_address(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    owner = await one_said(await chromium.new_context(), running.url, "count to 4")
    guest = await (await chromium.new_context()).new_page()
    await guest.goto(await shared(owner))
    await answered(guest, "1 2 3 4")
    await another(guest, "count to 5")
    await guest.go_back()
    await expect(guest).to_have_url(owner.url)
    await expect(guest.locator(".message.user")).to_have_text(re.compile("count to 4"))
    await guest.reload()
    await say(guest, "count to 6")
    await answered(owner, "1 2 3 4 5 6")


async def test_a_session_is_renamed_pinned_archived_and_deleted(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    page = await one_said(await chromium.new_context(), running.url, "count to 4")
    first = page.url
    await another(page, "count to 5")
    await expect(rows(page)).to_have_count(2)

    await act(page, rows(page).last, "Rename")
    await page.get_by_role("textbox", name="Rename this chat").fill("Four")
    await page.get_by_role("button", name="Rename").click()
    await expect(rows(page).last).to_contain_text("Four")
    await act(page, rows(page).last, "Pin")
    await expect(rows(page).first).to_contain_text("Four")
    await expect(page.locator(".group")).to_have_text(["Pinned", "Today"])

    await act(page, rows(page).first, "Archive")
    await expect(rows(page)).to_have_count(1)
    await page.locator("#archived").click()
    await expect(rows(page)).to_have_text([re.compile("Four")])
    await act(page, rows(page).first, "Unarchive")
    await expect(rows(page)).to_have_count(0)
    await page.locator("#archived").click()
    await expect(rows(page)).to_have_count(2)

    await rows(page).first.locator("a").click()
    await expect(page.locator("#title")).to_have_text("Four")
    await act(page, rows(page).first, "Delete")
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(rows(page)).to_have_count(2)
    await act(page, rows(page).first, "Delete")
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(rows(page)).to_have_count(1)
    await expect(page).not_to_have_url(first)
    await expect(page.locator("body")).to_have_attribute("data-view", "new")


async def test_a_session_is_found_and_saved(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await one_said(await chromium.new_context(), running.url, "count to 4")
    await another(page, "count to 5 elephants")
    await expect(rows(page)).to_have_count(2)
    await page.keyboard.press("Control+k")
    await page.keyboard.type("elephants")
    await expect(rows(page)).to_have_count(1)
    async with page.expect_download() as saving:
        await act(page, rows(page).first, "Export")
    assert (await saving.value).suggested_filename == "count to 5 elephants.md"
    saved = await (await saving.value).path()
    assert "elephants" in saved.read_text("utf-8")
    await page.get_by_test_id("search").fill("giraffes")
    await expect(page.locator("#no-past")).to_have_text("Nothing found.")
    await page.get_by_test_id("search").fill("")
    await expect(rows(page)).to_have_count(2)


async def test_suggestions_begin_a_session(serve: Serve, chromium: Browser) -> None:
    running = await serve(page_suggestions=("count to 4", "count to 5"))
    page = await chromium.new_page()
    await page.goto(running.url)
    await page.get_by_test_id("suggestions").get_by_role("button", name="count to 5").click()
    await page.get_by_test_id("message-box").press("Enter")
    await answered(page, "1 2 3 4 5")
    await expect(page.get_by_test_id("suggestions")).to_be_hidden()


async def test_a_suggestion_takes_the_place_of_another_one_and_of_no_draft(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve(page_suggestions=("Tell me a joke", "Tell me"))
    page = await chromium.new_page()
    await page.goto(running.url)
    box = page.get_by_test_id("message-box")
    for draft in ("", "my draft\nof two lines"):
        await box.fill(draft)
        for text in ("Tell me a joke", "Tell me a joke", "Tell me", "Tell me a joke"):
            chip = page.get_by_test_id("suggestions").get_by_role("button", name=text, exact=True)
            await chip.click()
            await expect(box).to_have_value(f"{text}\n{draft}" if draft else text)


async def test_on_a_phone_the_list_is_a_drawer(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    context = await chromium.new_context(viewport={"width": 390, "height": 844})
    page = await one_said(context, running.url, "count to 4")
    await expect(page.locator("#sidebar")).to_be_hidden()
    menu = page.locator("#open-sidebar")
    await menu.click()
    await expect(rows(page).first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#sidebar")).to_be_hidden()
    await expect(menu).to_be_focused()
    box = await page.locator("header.top").bounding_box()
    assert box
    assert box["height"] == 48


async def test_the_colours_are_the_readers_choice(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await chromium.new_page(color_scheme="light")
    await page.goto(running.url)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(ground)
    await page.get_by_label("Colours").select_option("dark")
    dark = await page.evaluate(ground)
    assert dark != light
    await page.reload()
    await expect(page.get_by_label("Colours")).to_have_value("dark")
    assert await page.evaluate(ground) == dark


async def test_earlier_messages_come_in_above_what_is_read(
    serve: Serve, chromium: Browser, device: Any
) -> None:
    running = await serve()
    page = await one_said(await chromium.new_context(), running.url, "count to 4")
    session_id = page.url.rsplit("/", 1)[1]
    token = await page.evaluate("localStorage['realtime.token']")
    one = device(running.url, token=token, session_id=session_id)
    await one.connect()
    for number in range(120):
        await one.done((await one.send(f"count to {number % 3 + 1}"))["run_id"])
    await page.reload()
    button = page.get_by_role("button", name="Show earlier messages")
    await expect(button).to_be_visible()
    await page.locator("#scroll").evaluate("scroll => (scroll.scrollTop = 0)")
    await expect(button).to_be_in_viewport()
    first = await page.locator(".message.user").first.element_handle()
    assert first
    before = await first.bounding_box()
    count = await page.locator(".message.user").count()
    await button.click()
    await expect(page.locator(".message.user")).not_to_have_count(count)
    after = await first.bounding_box()
    assert before
    assert after
    assert abs(after["y"] - before["y"]) < 60, "no more than the button's own height"


async def test_the_whole_conversation_is_printed(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await one_said(await chromium.new_context(), running.url, "count to 1500")
    await expect(page.get_by_test_id("stop")).to_be_hidden()
    sheets = re.findall(rb"/Type\s*/Page\b", await page.pdf(format="A5"))
    assert len(sheets) > 1
    await page.emulate_media(media="print")
    for part in (".message-bar", "#banner", "#newest", "#composer", "#copy-link"):
        for element in await page.locator(part).all():
            await expect(element).to_be_hidden()
    await expect(page.get_by_text("count to 1500").last).to_be_visible()


async def test_where_the_network_is_gone_the_chosen_chat_is_shown_all_the_same(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    context = await chromium.new_context()
    page = await one_said(context, running.url, "count to 4")
    first = page.url
    await another(page, "count to 5")
    await expect(rows(page)).to_have_count(2)
    state = page.get_by_test_id("connection-state")
    await context.set_offline(True)
    await expect(state).not_to_have_attribute("data-state", "live")
    await rows(page).last.locator("a").click()
    await expect(page.locator(".message.assistant")).to_have_count(0)
    await say(page, "count to 6")
    await expect(page.locator(".message.pending")).to_contain_text("count to 6")
    await context.set_offline(False)
    await answered(page, "1 2 3 4 5 6")
    await expect(page).to_have_url(first)


async def test_a_chat_that_is_deleted_elsewhere_leaves_the_list_and_no_text_is_lost(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    context = await chromium.new_context()
    page = await one_said(context, running.url, "count to 4")
    box = page.get_by_test_id("message-box")
    await box.fill("half a thought")
    other = await context.new_page()
    await other.goto(running.url)
    await act(other, rows(other).first, "Delete")
    await other.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(rows(page)).to_have_count(0)
    await says(page, "not here any more")
    await expect(box).to_be_disabled()
    await expect(page.get_by_test_id("send")).to_be_disabled()
    await page.locator("#banner").get_by_role("button", name="Start a new one").click()
    await expect(page.locator("#banner")).not_to_contain_text("not here any more")
    await expect(box).to_be_focused()
    await expect(box).to_have_value("half a thought")
    await box.press("Enter")
    await expect(page.locator(".message.user")).to_have_text("half a thought")
    await page.reload()
    await expect(box).to_have_value("")


@pytest.mark.parametrize("way", ["streams", "asks"])
async def test_nothing_goes_on_in_a_chat_that_is_deleted_elsewhere(
    aiohttp_server: Any, settings: Settings, chromium: Browser, way: str
) -> None:
    begun = [TextDelta("Once upon a time")]
    script = [begun, asyncio.Event()] if way == "streams" else [begun + asks(("pay", "{}"))[0]]
    app = create_app(settings, model=ScriptedModel(script), tools=[pay])
    url = str((await aiohttp_server(app)).make_url("/"))
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(url)
    await say(page, "Tell me a story")
    answer = page.locator(".message.assistant")
    await expect(answer).to_have_attribute("aria-busy", "true")
    await expect(answer).to_contain_text("Once upon a time")
    stop, approve = page.get_by_test_id("stop"), page.get_by_role("button", name="Approve")
    await expect(stop if way == "streams" else approve).to_be_visible()
    other = await context.new_page()
    await other.goto(url)
    await act(other, rows(other).first, "Delete")
    await other.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await says(page, "not here any more")
    await expect(answer).to_contain_text("Once upon a time")
    await expect(answer).to_have_attribute("aria-busy", "false")
    await expect(stop).to_be_hidden()
    await expect(approve).to_be_hidden()


async def test_back_goes_where_the_address_says(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await one_said(await chromium.new_context(), running.url, "count to 4")
    first = page.url
    await page.locator("#skip").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("message-box")).to_be_focused()
    assert page.url == first
    await page.goto(f"{first}#message-box")
    await answered(page, "1 2 3 4")
    await another(page, "count to 5")
    await page.go_back()
    await answered(page, "1 2 3 4")


async def test_an_address_that_is_none_says_so(serve: Serve, chromium: Browser) -> None:
    page = await chromium.new_page()
    await page.goto(f"{(await serve()).url}/c/%E0%A4%A")
    await expect(page.locator("#trouble")).to_contain_text("not here any more")
    await expect(page.get_by_test_id("connection-state")).to_be_empty()
    await say(page, "count to 4")
    await answered(page, "1 2 3 4")


async def test_a_chat_is_called_by_its_first_question_until_it_has_a_title(
    stage: Stage, chromium: Browser
) -> None:
    row = {"session_id": SESSION, "title": None, "summary": None, "last_text": "And then?"}
    row |= {
        "pinned": False,
        "archived": False,
        "active_at": 1,
        "start_time": 1,
        "status": "running",
    }
    stage.rows = [row]
    page = await chromium.new_page()
    await page.goto(f"{stage.url}c/{SESSION}")
    more = {"run_id": "r2", "user_id": OWNER}
    await stage.plays("user_message", **more, message_id="q2", client_msg_id="c2", text="And then?")
    await stage.plays("run", **more, message_id="a2", status="queued", model="large")
    await expect(page.get_by_test_id("queue")).to_contain_text("And then?")
    await expect(page.locator("#title")).to_have_text("Pay them")
    await expect(rows(page)).to_contain_text("Pay them")


async def test_the_focus_comes_back_from_the_menu_though_the_list_changed(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    context = await chromium.new_context()
    page = await one_said(context, running.url, "count to 3")
    button = rows(page).first.locator(".dots")
    await button.click()
    await expect(page.locator("#session-menu")).to_be_visible()
    session_id = page.url.rpartition("/")[2]
    other = await context.new_page()
    await other.goto(running.url)
    await other.evaluate(
        "(id) => fetch(`/api/sessions/${id}`, {method: 'PATCH', body: '{\"title\": \"Another\"}', "
        "headers: {Authorization: `Bearer ${localStorage['realtime.token']}`}})",
        session_id,
    )
    await expect(rows(page).first).to_contain_text("Another")
    await page.keyboard.press("Escape")
    await expect(page.locator("#session-menu")).to_be_hidden()
    await expect(button).to_be_focused()

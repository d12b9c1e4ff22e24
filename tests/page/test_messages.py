"""What can be done with a message, as a person does it on the page of a real server."""

from __future__ import annotations

import asyncio

from playwright.async_api import Browser, Locator, Page, expect

from realtime.models import ModelError, TextDelta
from tests.page.acting import answered, begin, on_the_lan, opened, say, shared
from tests.page.stage import Stage
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve


async def test_who_thinks_an_answer_bad_may_say_why(stage: Stage, chromium: Browser) -> None:
    page = await opened(chromium, stage.url)
    await stage.plays("token", kind="text", offset=0, delta="Paris.")
    await stage.plays("done", status="completed", model="large", text="Paris.", text_len=6)
    bar = page.get_by_role("group", name="Answer")
    await bar.get_by_role("button", name="Bad answer").click()
    assert (await stage.was_asked("feedback"))["value"] == "down"
    comment = bar.get_by_label("What was wrong")
    await expect(comment).to_be_focused()
    await comment.fill("It is Rome.")
    await comment.press("Enter")
    said = await stage.was_asked("feedback")
    assert (said["value"], said["comment"]) == ("down", "It is Rome.")
    await expect(comment).to_be_hidden()
    await expect(bar.get_by_role("button", name="Bad answer")).to_be_focused()


async def test_a_chat_goes_on_in_a_new_one_from_any_answer(serve: Serve, chromium: Browser) -> None:
    running = await serve(ScriptedModel(says("Paris."), says("Two million."), says("Rome.")))
    page = await opened(chromium, running.url)
    for question, answer in (("Capital of France?", "Paris."), ("How many?", "Two million.")):
        await say(page, question)
        await answered(page, answer)
    first = page.url
    fork = page.get_by_role("button", name="Branch in a new chat")
    await fork.first.click()
    await expect(page).not_to_have_url(first)
    await expect(page.locator(".message.user")).to_have_text(["Capital of France?"])
    await say(page, "And of Italy?")
    await answered(page, "Rome.")
    await page.go_back()
    await expect(page).to_have_url(first)
    await answered(page, "Two million.")


async def test_an_answer_is_copied_rated_and_looked_into(serve: Serve, chromium: Browser) -> None:
    running = await serve(ScriptedModel(says("It is **Paris**.")))
    context = await chromium.new_context()
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = await opened(context, running.url)
    await say(page, "Capital of France?")
    bar = page.get_by_role("group", name="Answer")
    await bar.get_by_role("button", name="Copy").click()
    await expect(bar.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "It is **Paris**."

    good, bad = [bar.get_by_role("button", name=name) for name in ("Good answer", "Bad answer")]
    await bad.click()
    await expect(bad).to_have_attribute("aria-pressed", "true")
    await good.click()
    await expect(bad).to_have_attribute("aria-pressed", "false")
    await page.reload()
    await expect(good).to_have_attribute("aria-pressed", "true")
    await good.click()
    await expect(good).to_have_attribute("aria-pressed", "false")

    details = bar.get_by_role("button", name="Details")
    await expect(details).to_have_attribute("aria-expanded", "false")
    await details.press("Enter")
    await expect(bar.locator("dl")).to_contain_text("scripted")
    await expect(bar.locator("dl")).to_contain_text("1 read, 1 written")
    await details.press("Escape")
    await expect(bar.locator("dl")).to_be_hidden()

    reader = await (await chromium.new_context()).new_page()
    await reader.goto(await shared(page, "read"))
    await answered(reader, "Paris")
    await expect(reader.locator("body")).to_have_attribute("data-access", "read")
    await expect(bar_of(reader, "Copy")).to_be_visible()
    for name in ("Good answer", "Regenerate", "Edit"):
        await expect(reader.get_by_role("button", name=name)).to_be_hidden()


async def test_what_was_opened_stays_in_sight(serve: Serve, chromium: Browser) -> None:
    running = await serve(ScriptedModel(says("Paris."), says("Two million.")))
    page = await opened(chromium, running.url)
    for question, answer in (("Capital of France?", "Paris."), ("How many?", "Two million.")):
        await say(page, question)
        await answered(page, answer)
    bar = page.get_by_role("group", name="Answer").first
    details = bar.get_by_role("button", name="Details")
    await details.click()
    await page.get_by_test_id("message-box").hover()
    await page.get_by_test_id("message-box").click()
    await expect(bar).to_have_css("opacity", "1")
    await details.click()
    await page.get_by_test_id("message-box").click()
    await expect(bar).to_have_css("opacity", "0")


async def test_a_failed_and_a_stopped_answer_are_tried_again(
    serve: Serve, chromium: Browser
) -> None:
    failure, never = ModelError("unauthorized", "no key"), asyncio.Event()
    running = await serve(
        ScriptedModel([failure], [[TextDelta("It is")], never], says("It is Paris."))
    )
    page = await opened(chromium, running.url)
    await say(page, "Capital of France?")
    again = page.locator(".notice").get_by_role("button", name="Try again")
    await again.click()
    await answered(page, "It is")
    await page.get_by_test_id("stop").click()
    await again.click()
    await answered(page, "It is Paris.")
    await expect(page.locator(".notice:visible")).to_have_count(0)
    await expect(page.locator(".message.user")).to_have_count(1)
    await expect(page.get_by_role("group", name="Answer")).to_contain_text("3 / 3")


async def test_what_waits_is_edited_dropped_and_sent_at_once(
    serve: Serve, chromium: Browser
) -> None:
    never = asyncio.Event()
    running = await serve(ScriptedModel([[TextDelta("One")], never], says("Now."), says("Last.")))
    page = await opened(chromium, running.url)
    await say(page, "first")
    await answered(page, "One")
    queue = page.get_by_test_id("queue")
    for text in ("second", "thrid", "fourth"):
        await say(page, text)
    await expect(queue.locator("li")).to_have_text(["second", "thrid", "fourth"])
    await expect(page.locator(".message.user")).to_have_text(["first"])

    await queue.locator("li").nth(2).get_by_role("button", name="Drop").click()
    await expect(queue.locator("li")).to_have_text(["second", "thrid"])
    await expect(page.get_by_test_id("message-box")).to_be_focused()
    await queue.locator("li").nth(1).get_by_role("button", name="Edit").click()
    await queue.get_by_label("Edit the message").fill("third")
    await queue.get_by_label("Edit the message").press("Enter")
    await expect(queue.locator("li")).to_have_text(["second", "third"])
    await queue.locator("li").nth(1).get_by_role("button", name="Send now").click()
    await answered(page, "Last.")
    for _ in range(2):  # live, and from a snapshot
        said = page.locator(".message.user .text, .message.assistant .parts")
        await expect(said).to_have_text(["first", "One", "third", "Now.", "second", "Last."])
        await expect(queue).to_be_hidden()
        await page.reload()


async def test_what_was_stopped_before_its_first_word_stays(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve(ScriptedModel([asyncio.Event()]))
    page = await opened(chromium, running.url)
    await say(page, "first")
    await page.get_by_test_id("stop").click()
    for _ in range(2):  # live, and from a snapshot
        await expect(page.locator(".notice")).to_contain_text("Stopped.")
        await expect(page.locator(".message.user")).to_have_text(["first"])
        await page.reload()


async def test_enter_makes_a_line_where_one_types_on_the_screen(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve(ScriptedModel(says("It is Paris.")))
    phone = await chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = await phone.new_page()
    await page.goto(running.url)
    await say(page, "Capital")
    box = page.get_by_test_id("message-box")
    await box.press_sequentially("of France?")
    await expect(box).to_have_value("Capital\nof France?")
    await page.get_by_test_id("send").tap()
    await answered(page, "It is Paris.")
    await expect(page.locator(".message.user .text")).to_have_text("Capital\nof France?")


def bar_of(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name="Answer").get_by_role("button", name=name)


async def test_copying_where_there_is_no_clipboard(serve: Serve, chromium: Browser) -> None:
    running = await serve(ScriptedModel(says("It is Paris.")))
    page = await chromium.new_page()
    await begin(page, on_the_lan(running.url))
    await say(page, "Capital of France?")
    assert not await page.evaluate("isSecureContext")
    await bar_of(page, "Copy").click()
    await expect(bar_of(page, "Copied")).to_be_visible()
    await page.get_by_test_id("message-box").press("Control+v")
    await expect(page.get_by_test_id("message-box")).to_have_value("It is Paris.")

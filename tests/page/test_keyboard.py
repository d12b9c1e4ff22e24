"""All that is done on the page, done without a mouse."""

from __future__ import annotations

import asyncio
from typing import Any

from playwright.async_api import Browser, expect

from realtime.app import create_app
from realtime.config import Settings
from realtime.models import TextDelta
from realtime.tools import tool
from tests.page.acting import answered, press, tab_to
from tests.support.scripted import ScriptedModel, asks, says

BACK = "Shift+Tab"


@tool(approval=True)
def pay(to: str) -> str:
    """Pay somebody."""
    return f"{to} is paid"


async def test_a_conversation_from_its_beginning_to_its_end(
    aiohttp_server: Any, settings: Settings, chromium: Browser
) -> None:
    never = asyncio.Event()
    model = ScriptedModel(
        says("Paris."),
        says("Rome."),
        says("Rome, of course."),
        asks(("pay", '{"to": "Ann"}')),
        says("Ann has it."),
        asks(("pay", '{"to": "Bob"}')),
        says("Bob has nothing."),
        [[TextDelta("Once upon a time")], never],
        says("Elephants."),
    )
    host = await aiohttp_server(create_app(settings, model=model, tools=[pay]))
    page = await chromium.new_page()
    await page.goto(str(host.make_url("/")))
    box, keyboard = page.get_by_test_id("message-box"), page.keyboard

    async def ask(text: str) -> None:
        await expect(box).to_be_focused()
        await keyboard.type(text)
        await keyboard.press("Enter")

    await ask("Capital of France?")
    await answered(page, "Paris.")
    await press(page, "Edit", BACK)
    await expect(page.locator(".edit-form textarea")).to_be_focused()
    await keyboard.press("Control+a")
    await keyboard.type("Capital of Italy?")
    await keyboard.press("Enter")
    await answered(page, "Rome.")
    await expect(box).to_be_focused()
    await press(page, "Previous version", BACK)
    await answered(page, "Paris.")
    await expect(page.get_by_role("button", name="Next version")).to_be_focused()
    await keyboard.press("Enter")
    await answered(page, "Rome.")
    await expect(page.get_by_role("button", name="Previous version")).to_be_focused()
    await press(page, "Regenerate")
    await answered(page, "Rome, of course.")
    await expect(box).to_be_focused()
    await ask("Pay Ann")
    await expect(page.locator(".approval")).to_be_visible()
    await press(page, "Approve", BACK)
    await answered(page, "Ann has it.")
    await tab_to(page, "Message")
    await ask("Pay Bob")
    await expect(page.locator(".approval").last).to_be_visible()
    await press(page, "Deny with a reason", BACK)
    await keyboard.type("Not him")
    await keyboard.press("Enter")
    await answered(page, "Bob has nothing.")

    await tab_to(page, "Message")
    await ask("Tell me a story")
    await answered(page, "Once upon a time")
    await press(page, "Stop")
    await expect(page.locator(".notice").last).to_contain_text("Stopped.")
    await expect(box).to_be_focused()

    await press(page, "Share", BACK)
    await press(page, "Make a link")
    await expect(page.get_by_test_id("share-link")).to_be_focused()
    await keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Share")).to_be_focused()

    await press(page, "Details")
    await press(page, "End session")
    await expect(page.get_by_test_id("summary")).to_have_text("Elephants.")  # the list has it
    await expect(page.locator("#more")).to_be_focused()

    await press(page, "New chat", BACK)
    await ask("The largest animal on land?")
    await answered(page, "Elephants.")

    await keyboard.press("Control+k")
    await keyboard.type("rome")
    await expect(page.locator("#past-sessions a")).to_have_count(1)
    await press(page, "Elephants.")
    await answered(page, "Once upon a time")
    await expect(box).to_be_focused()
    await keyboard.press("Control+k")
    menu = page.locator("#session-menu")
    await press(page, "Actions for")
    await expect(menu).to_be_visible()
    await press(page, "Archive")
    await expect(page.get_by_test_id("start-session")).to_be_focused()
    await press(page, "Archived chats")
    await expect(page.locator("#past-sessions a")).to_have_count(1)
    await press(page, "Actions for", BACK)
    await expect(menu).to_be_visible()
    await press(page, "Unarchive")
    await expect(page.get_by_test_id("start-session")).to_be_focused()
    await keyboard.press("Control+k")
    await keyboard.press("Control+a")
    await keyboard.type("rome")
    await expect(page.locator("#past-sessions a")).to_have_count(1)
    await keyboard.press("ArrowDown")
    await expect(page.locator("#past-sessions a")).to_be_focused()
    await keyboard.press("ArrowUp")
    await press(page, "Actions for")
    await expect(menu).to_be_visible()
    await press(page, "Delete")
    dialog = page.get_by_role("dialog", name="Delete this chat?")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await press(page, "Delete")
    await expect(dialog).to_have_count(0)
    await expect(page.locator(".message")).to_have_count(0)
    await expect(box).to_be_focused()

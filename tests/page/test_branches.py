"""Editing a question and making an answer again, as a person does, on two devices."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.page.acting import shared
from tests.support.browser import browser
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve


async def shows(page: Page, *texts: str) -> None:
    messages = page.locator(".message.user .text, .message.assistant .parts")
    await expect(messages).to_have_text(list(texts))


async def test_versions_of_a_question_and_of_an_answer(serve: Serve) -> None:
    model = ScriptedModel(says("Paris."), says("Two million."), says("Rome."), says("Roma."))
    running = await serve(model)
    async with browser() as chromium:
        one = await chromium.new_page()
        await one.goto(running.url)
        await one.get_by_test_id("start-session").click()
        box = one.get_by_test_id("message-box")
        for question, answer in (("Capital of France?", "Paris."), ("How many?", "Two million.")):
            await box.fill(question)
            await box.press("Enter")
            await expect(one.locator(".message.assistant").last).to_contain_text(answer)
        two = await (await chromium.new_context()).new_page()
        await two.goto(await shared(one))
        await expect(two.locator(".message.assistant").last).to_contain_text("Two million.")

        await one.get_by_role("button", name="Edit").first.click()
        editor = one.get_by_label("Edit the message")
        await expect(editor).to_be_focused()
        await editor.press("Escape")
        await expect(editor).to_be_hidden()
        await expect(one.get_by_role("button", name="Edit").first).to_be_focused()
        await one.get_by_role("button", name="Edit").first.click()
        await editor.fill("Capital of Italy?")
        await editor.press("Enter")
        for page in (one, two):
            await shows(page, "Capital of Italy?", "Rome.")
            await expect(page.locator(".asked .branch-bar")).to_contain_text("2 / 2")

        await two.get_by_role("button", name="Regenerate").click()
        for page in (one, two):
            await shows(page, "Capital of Italy?", "Roma.")
        await one.get_by_role("button", name="Previous version").last.click()
        for page in (one, two):
            await shows(page, "Capital of Italy?", "Rome.")
            await expect(page.get_by_role("button", name="Previous version").last).to_be_disabled()
        await two.reload()
        await shows(two, "Capital of Italy?", "Rome.")
        await two.get_by_role("button", name="Previous version").first.click()
        for page in (one, two):
            await shows(page, "Capital of France?", "Paris.", "How many?", "Two million.")

"""Editing a question and making an answer again, as a person does, on two devices."""

from __future__ import annotations

from playwright.async_api import Browser, Page, expect

from tests.page.acting import opened, shared
from tests.page.stage import OWNER, Stage
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve

AT_END = "box => box.value && box.selectionStart === box.value.length"


async def shows(page: Page, *texts: str) -> None:
    messages = page.locator(".message.user .text, .message.assistant .parts")
    await expect(messages).to_have_text(list(texts))


async def test_versions_of_a_question_and_of_an_answer(serve: Serve, chromium: Browser) -> None:
    model = ScriptedModel(says("Paris."), says("Two million."), says("Rome."), says("Roma."))
    running = await serve(model)
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
    assert await editor.evaluate(AT_END)
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


async def asked(stage: Stage, number: int, text: str, **more: str) -> None:
    ids = {"run_id": f"r{number}", "user_id": OWNER}
    await stage.plays(
        "user_message",
        **ids,
        message_id=f"q{number}",
        client_msg_id=f"c{number}",
        text=text,
        **more,
    )


async def test_what_is_being_written_is_not_lost_with_its_message(
    stage: Stage, chromium: Browser
) -> None:
    page = await opened(chromium, stage.url)
    editor, box = page.get_by_label("Edit the message"), page.get_by_test_id("message-box")
    await asked(stage, 2, "And then?")
    await stage.plays("run", run_id="r2", message_id="a2", status="queued", model="large")
    await page.get_by_test_id("queue").get_by_role("button", name="Edit").click()
    assert await editor.evaluate(AT_END)
    await expect(page.get_by_test_id("queue").get_by_role("button", name="Save")).to_be_visible()
    await editor.fill("And when?")
    await stage.plays("done", status="completed", model="large", text="Done.")
    await stage.plays("run", run_id="r2", message_id="a2", status="started", model="large")
    await expect(box).to_have_value("And when?")

    await box.fill("")
    await stage.plays(
        "done", run_id="r2", message_id="a2", status="completed", model="large", text="Then."
    )
    await page.locator(".message.user").last.hover()
    await page.get_by_role("button", name="Edit").last.click()
    await editor.fill("And where?")
    await asked(stage, 3, "And who?", parent="a")
    await stage.plays("run", run_id="r3", message_id="a3", status="started", model="large")
    await expect(page.locator(".message.user .text").last).to_have_text("And who?")
    await expect(box).to_have_value("And where?")


async def test_an_edit_that_was_refused_is_still_an_edit(stage: Stage, chromium: Browser) -> None:
    page = await opened(chromium, stage.url)
    await stage.plays("done", status="completed", model="large", text="Done.")
    error = {"code": "invalid", "message": "Not like that.", "retryable": False}
    stage.answers["send"] = {"ok": False, "error": error}
    editor = page.get_by_label("Edit the message")
    await page.locator(".message.user").hover()
    await page.get_by_role("button", name="Edit").click()
    await editor.fill("Pay her")
    await editor.press("Enter")
    assert (await stage.was_asked("send"))["replaces"] == "q"
    refused = page.locator(".message.pending")
    await expect(refused).to_contain_text("Not like that.")
    await refused.get_by_role("button", name="Edit").click()
    await editor.fill("Pay him")
    await editor.press("Enter")
    sent = await stage.was_asked("send")
    assert (sent["replaces"], sent["text"]) == ("q", "Pay him")

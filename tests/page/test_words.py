"""The page in the reader's language, with its dates and numbers."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.page.acting import answered, live, say
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve


async def test_a_german_reader_is_spoken_to_in_german(serve: Serve, chromium: Browser) -> None:
    running = await serve(ScriptedModel(says("Paris.")))
    context = await chromium.new_context(locale="de-AT", timezone_id="Europe/Vienna")
    page = await context.new_page()
    await page.goto(running.url)
    await expect(page.locator("html")).to_have_attribute("lang", "de-AT")
    await expect(page.get_by_role("heading", name="Worüber möchten Sie sprechen?")).to_be_visible()
    await expect(page.get_by_role("button", name="Neuer Chat")).to_be_visible()
    await page.get_by_label("Nachricht", exact=True).fill("Hauptstadt von Frankreich?")
    await page.get_by_role("button", name="Senden").click()
    await answered(page, "Paris.")
    await expect(page.get_by_role("group", name="Antwort").get_by_label("Kopieren")).to_be_visible()
    facts = "(new Intl.DateTimeFormat('de-AT', {timeStyle: 'short'})).format(new Date())"
    bar = page.get_by_role("group", name="Antwort")
    await bar.get_by_label("Details").click()
    shown = await bar.locator("dl").inner_text()
    assert (await page.evaluate(facts))[:3] in shown
    assert "1 gelesen, 1 geschrieben" in shown
    assert "vollständig" in shown
    await page.locator("#past-sessions .dots").click()
    await page.locator("#session-menu").get_by_role("button", name="Löschen").click()
    await expect(page.get_by_role("dialog", name="Diesen Chat löschen?")).to_be_visible()
    words = await page.locator("body").inner_text()
    for english in ("New chat", "Search", "Share", "Delete", "Today", "Send"):
        assert english not in words.split("\n")


@pytest.mark.parametrize("lang", ["en-", "en-US@posix", "de_DE"])
async def test_a_language_that_is_none_is_passed_over(
    serve: Serve, chromium: Browser, lang: str
) -> None:
    page = await chromium.new_page()
    await page.goto(f"{(await serve()).url}/?lang={lang}")
    await expect(page.locator("html")).to_have_attribute("lang", "en-US")
    await expect(page.get_by_test_id("message-box")).to_be_focused()


@pytest.mark.parametrize(("languages", "chosen"), [("fr-FR", "en"), ("en-GB", "en-GB")])
async def test_whoever_reads_another_language_gets_english(
    serve: Serve, chromium: Browser, languages: str, chosen: str
) -> None:
    running = await serve(ScriptedModel(says("Paris.")))
    page = await (await chromium.new_context(locale=languages)).new_page()
    await page.goto(running.url)
    await expect(page.locator("html")).to_have_attribute("lang", chosen)
    await say(page, "Capital of France?")
    await live(page)
    await expect(page.get_by_role("button", name="New chat", exact=True)).to_be_visible()

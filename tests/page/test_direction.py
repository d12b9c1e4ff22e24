"""The page in a language that is written from right to left: all of it is mirrored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect

from tests.page.acting import answered, say
from tests.support.process import ROOT
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve

SEEN = [
    *("#sidebar", "#start-session", "#search", ".session a", ".session .dots", "#theme"),
    *("#main", "#title", "#copy-link", "#more", ".message.user", ".message.assistant"),
    *(".message-bar.asked .tool", "#message-box"),
    *("#attach", "#send", "#session-menu", "#open-sidebar", "#close-sidebar"),
]
PLACES = """(selectors) => selectors.flatMap((selector) => {
  const element = document.querySelector(selector);
  const { left, right, top, width } = element?.getBoundingClientRect() ?? {};
  return width && right > 0 && left < innerWidth ? [[selector, left, right, top]] : [];
})"""
AT_REST = """() => Promise.all(document.getAnimations()
  .filter((one) => one instanceof CSSTransition).map((one) => one.finished.catch(() => {})))"""
ANSWER = "Two of them:\n\n- one\n- two\n\n```python\nx = 1\n```\n"


def arabic(folder: Path) -> Path:
    """The page, as if it spoke Arabic: with the words of English, which take the same space."""
    words = (ROOT / "client/page/words.js").read_text("utf-8")
    (folder / "page/words").mkdir(parents=True)
    (folder / "page/words.js").write_text(words.replace('["en", "de"]', '["en", "de", "ar"]'))
    english = (ROOT / "client/page/words/en.js").read_text("utf-8")
    (folder / "page/words/ar.js").write_text(english, "utf-8")
    return folder


async def places(page: Page) -> list[list[Any]]:
    """Of what is seen: its name, its left and right edge, its top."""
    await page.evaluate(AT_REST)
    found: list[list[Any]] = await page.evaluate(PLACES, SEEN)
    return found


async def walked(chromium: Browser, url: str, width: int) -> list[list[list[Any]]]:
    """The places in each state of a conversation."""
    context = await chromium.new_context(viewport={"width": width, "height": 800})
    page = await context.new_page()
    await page.goto(url)
    await expect(page.get_by_test_id("message-box")).to_be_focused()
    seen = [await places(page)]
    await say(page, "What is there?")
    await answered(page, "two")
    await expect(page.locator(".code-keyword, .code-number").first).to_be_visible()
    seen.append(await places(page))
    if width < 700:
        await page.locator("#open-sidebar").click()
    await page.locator(".session .dots").click()
    await expect(page.locator("#session-menu")).to_be_visible()
    seen.append(await places(page))
    assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    await context.close()
    return seen


async def test_all_of_it_is_mirrored(serve: Serve, chromium: Browser, tmp_path: Path) -> None:
    running = await serve(ScriptedModel(says(ANSWER)), client_dir=str(arabic(tmp_path / "own")))
    for width in (1200, 390):
        plain = await walked(chromium, f"{running.url}/?lang=en", width)
        mirrored = await walked(chromium, f"{running.url}/?lang=ar", width)
        for one, other in zip(plain, mirrored, strict=True):
            assert len(one) > 5
            assert [name for name, *_ in one] == [name for name, *_ in other]
            for (name, left, right, top), (_, mirror_left, mirror_right, mirror_top) in zip(
                one, other, strict=True
            ):
                off = (mirror_left - (width - right), mirror_right - (width - left))
                assert max(map(abs, (*off, mirror_top - top))) <= 2, (width, name, off)

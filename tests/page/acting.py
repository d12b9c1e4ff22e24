"""What a person does on the page, and what they then see."""

from __future__ import annotations

import re

from playwright.async_api import Browser, BrowserContext, Page, expect

LAN = "--host-resolver-rules=MAP chat.lan 127.0.0.1"


def on_the_lan(url: str) -> str:
    """Plain http on a name that is not this machine's: no secure context."""
    return url.replace("127.0.0.1", "chat.lan")


async def start(page: Page) -> None:
    await page.get_by_test_id("start-session").click()


async def begin(page: Page, url: str) -> None:
    await page.goto(url)
    await start(page)


async def started(browser: Browser | BrowserContext, url: str) -> Page:
    """A page that has begun a session."""
    page = await browser.new_page()
    await begin(page, url)
    return page


async def opened(browser: Browser | BrowserContext, url: str) -> Page:
    """A page whose session is live."""
    page = await started(browser, url)
    await live(page)
    return page


async def live(page: Page) -> None:
    state = page.get_by_test_id("connection-state")
    await expect(state).to_have_attribute("data-state", "live")


async def say(page: Page, text: str) -> None:
    await page.get_by_test_id("message-box").fill(text)
    await page.get_by_test_id("message-box").press("Enter")


async def says(page: Page, text: str | re.Pattern[str]) -> None:
    """The banner."""
    await expect(page.locator("#banner")).to_contain_text(text)


async def answered(page: Page, text: str) -> None:
    await expect(page.locator(".message.assistant").last).to_contain_text(text)


async def shared(page: Page, access: str = "full") -> str:
    """A link to the session, as the panel shows it. The panel is closed before."""
    await page.get_by_test_id("copy-link").click()
    await page.get_by_test_id("share-access").select_option(access)
    await page.get_by_test_id("make-link").click()
    return await page.get_by_test_id("share-link").input_value()


FOCUSED = """() => {
  const { activeElement: element } = document;
  const { outlineStyle } = getComputedStyle(element);
  const name = element.ariaLabel ?? element.labels?.[0]?.textContent ?? element.textContent;
  return { name: name.trim(), shown: outlineStyle !== "none" };
}"""


async def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    """Go on by a key to what begins with this name, as somebody without a mouse does. It shows
    where the focus is."""
    passed = []
    for _ in range(80):
        await page.keyboard.press(key)
        focused = await page.evaluate(FOCUSED)
        if focused["name"].startswith(name):
            assert focused["shown"], focused
            return
        passed.append(focused["name"])
    raise AssertionError(f"{name} is not among {passed}")


async def press(page: Page, name: str, key: str = "Tab") -> None:
    """Press a button that is reached in this way."""
    await tab_to(page, name, key)
    await page.keyboard.press("Enter")

"""A real browser for the tests: an installed Chrome or Chromium, or Debian's package."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.support.debian import program

NAMES = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

expect.set_options(timeout=20_000)  # a machine that is busy is no failure


def chrome() -> str:
    """The path of a browser. Installs Debian's where that is possible; never skips."""
    if path := os.environ.get("CHROME"):
        return path
    if path := program(*NAMES, package="chromium"):
        return path
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    assert mac.exists(), (
        "the tests need a browser: install Chrome or Chromium, or set CHROME to its path"
    )
    return str(mac)


@asynccontextmanager
async def browser(*flags: str, throws: bool = False) -> AsyncIterator[Browser]:
    """Nothing that a page throws in it is overlooked, unless it is to throw."""
    thrown: list[str] = []
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chrome(), args=[*FLAGS, *flags])
        made = running.new_context

        async def new_context(**options: Any) -> BrowserContext:
            context = await made(**options)
            context.on("weberror", lambda error: thrown.append(str(error.error)))
            return context

        async def new_page(**options: Any) -> Page:
            return await (await new_context(**options)).new_page()

        running.new_context, running.new_page = new_context, new_page  # type: ignore[method-assign]
        try:
            yield running
        finally:
            await running.close()
    assert throws == bool(thrown), thrown

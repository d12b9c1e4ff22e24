"""A real browser for the tests: an installed Chrome or Chromium, or Debian's package."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, async_playwright, expect

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
async def launched(*flags: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chrome(), args=[*FLAGS, *flags])
        try:
            yield running
        finally:
            await running.close()


@asynccontextmanager
async def watched(running: Browser, *, throws: bool = False) -> AsyncIterator[Browser]:
    """The browser, whose pages are closed in the end. Nothing that one throws is overlooked,
    unless one is to throw."""
    thrown: list[str] = []

    def watch(context: BrowserContext) -> None:
        context.on("weberror", lambda error: thrown.append(str(error.error)))

    running.on("context", watch)
    try:
        yield running
    finally:
        running.remove_listener("context", watch)
        for context in running.contexts:
            await context.close()
    assert throws == bool(thrown), thrown


@asynccontextmanager
async def browser(*flags: str, throws: bool = False) -> AsyncIterator[Browser]:
    """One of its own, watched."""
    async with launched(*flags) as running, watched(running, throws=throws):
        yield running

"""Measure the page: `python -m bench.page [--repeat 3] [--texts list,table] [--only load,stream]`.

A headless Chromium reads answers from a server of its own; `CHROME` names another browser. Values
are medians over the repetitions, in brackets the worst. Tasks are measured in CPU time, so that
other processes disturb them less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import socketio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from bench.page.texts import SIZE, TEXTS
from bench.page.upstream import application
from tests.support.browser import FLAGS, chrome
from tests.support.process import server

RATE = 1000  # tokens a second
ANSWERS = 150  # before the one who types: twice as many messages
KEYS = 50
WATCH = """
window.seen = { frames: 0 };
(function frame() { seen.frames++; requestAnimationFrame(frame); })();
"""
TASK = "ThreadControllerImpl::RunTask"

Row = dict[str, float]


class Reader:
    """A session, and the page that shows it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = ""
        self.session_id = ""
        self._done = asyncio.Event()
        self._client = socketio.AsyncClient()
        self._client.on("done", lambda payload: self._done.set())

    async def __aenter__(self) -> Reader:
        known: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._client.on("session", lambda told: None if known.done() else known.set_result(told))
        await self._client.connect(self.url, transports=["websocket"])
        told = await known
        self.token, self.session_id = told["guest_token"], told["session_id"]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.disconnect()

    async def ask(self, text: str) -> None:
        """Send a message, and wait for the end of its answer."""
        self._done.clear()
        ack = await self._client.call("send", {"text": text, "client_msg_id": str(uuid4())})
        if not ack["ok"]:
            raise RuntimeError(ack["error"]["message"])
        await asyncio.wait_for(self._done.wait(), 120)

    async def page(self, context: BrowserContext) -> Page:
        page = await context.new_page()
        await page.add_init_script(f"localStorage['realtime.token'] = '{self.token}'")
        await page.add_init_script(WATCH)
        await page.goto(f"{self.url}/#session={self.session_id}")
        return page


async def first_load(url: str, browser: Browser) -> Row:
    """The bytes that come over the wire, headers and all, on the first visit and on the next."""
    context = await browser.new_context()
    row: Row = {}
    for visit in ("first", "second"):
        sizes = await _sizes(url, context)
        row |= {f"{visit}, KB": sum(sizes) / 1000, f"{visit}, requests": sum(map(bool, sizes))}
    await context.close()
    return row


async def _sizes(url: str, context: BrowserContext) -> list[float]:
    page = await context.new_page()
    wire = await context.new_cdp_session(page)
    await wire.send("Network.enable")
    sizes: list[float] = []
    wire.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
    await page.goto(url, wait_until="networkidle")
    await page.close()
    return sizes


async def stream(url: str, browser: Browser, text: str, throttle: int) -> Row:
    """One answer, read while it comes."""
    context = await browser.new_context()
    async with Reader(url) as reader:
        page = await reader.page(context)
        await reader.ask("hello")
        await page.locator(".markdown").first.wait_for()
        await page.wait_for_timeout(500)
        wire = await context.new_cdp_session(page)
        await wire.send("Emulation.setCPUThrottlingRate", {"rate": throttle})
        await browser.start_tracing(page=page, categories=["toplevel", "__metadata"])
        await page.evaluate("seen.frames = 0, seen.begun = performance.now()")
        await reader.ask(f"text={text} rate={RATE}")
        await page.locator('.message.assistant[aria-busy="false"]').nth(1).wait_for()
        await page.wait_for_timeout(300)
        seen = await page.evaluate("({ ...seen, took: performance.now() - seen.begun })")
        tasks = _tasks(json.loads(await browser.stop_tracing())["traceEvents"])
    await context.close()
    return {
        "longest task": max(tasks),
        "tasks over 50 ms": sum(task > 50 for task in tasks),
        "frames a second": 1000 * seen["frames"] / seen["took"],
    }


def _tasks(events: list[dict[str, Any]]) -> list[float]:
    """The CPU time of each task of the page's main thread (ms)."""
    tasks: dict[tuple[int, int], list[float]] = {}
    mains = set()
    for event in events:
        place = (event["pid"], event["tid"])
        if event["name"] == TASK and event["ph"] == "X":
            tasks.setdefault(place, []).append(event.get("tdur", event["dur"]) / 1000)
        elif event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain":
            mains.add(place)
    return max((tasks.get(main, [0.0]) for main in mains), key=sum)


async def typing(url: str, browser: Browser) -> Row:
    """The main thread's CPU time for a key, behind 300 messages."""
    context = await browser.new_context()
    async with Reader(url) as reader:
        for _ in range(ANSWERS):
            await reader.ask("and then?")
        page = await reader.page(context)
        await page.locator(".message.assistant").nth(20).wait_for()
        await page.wait_for_timeout(1500)
        await page.get_by_test_id("message-box").focus()
        wire = await context.new_cdp_session(page)
        await wire.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = await _busy_ms(wire)
        idle = await page.evaluate("new Promise((done) => setTimeout(done, 1000))")
        assert idle is None
        resting = await _busy_ms(wire) - before
        begun = asyncio.get_running_loop().time()
        before = await _busy_ms(wire)
        for _ in range(KEYS):
            await page.keyboard.press("a")
            await asyncio.sleep(0.05)
        took = asyncio.get_running_loop().time() - begun
        busy = await _busy_ms(wire) - before - resting * took
        shown = await page.locator(".message").count()
    await context.close()
    return {"a key, ms": busy / KEYS, "messages shown": shown}


async def _busy_ms(wire: Any) -> float:
    metrics = (await wire.send("Performance.getMetrics"))["metrics"]
    return 1000 * next(one["value"] for one in metrics if one["name"] == "TaskDuration")


async def repeated(times: int, measure: Callable[[], Any]) -> dict[str, tuple[float, float]]:
    """The median and the highest of each value."""
    rows = [await measure() for _ in range(times)]
    return {
        name: (statistics.median(row[name] for row in rows), max(row[name] for row in rows))
        for name in rows[0]
    }


@asynccontextmanager
async def running() -> AsyncIterator[tuple[str, Browser]]:
    runner = web.AppRunner(application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    environ = {
        "MODEL": "openai",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": upstream,
        "OPENAI_MODEL": "bench",
        "OPENAI_API": "chat",
        "MESSAGES_PER_MINUTE": "100000",
    }
    with tempfile.TemporaryDirectory() as folder:
        async with server(Path(folder), **environ) as process, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chrome(), args=FLAGS)
            yield process.url, browser
            await browser.close()
    await runner.cleanup()


async def measured(given: argparse.Namespace) -> None:
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before; {given.repeat} repetitions")
    async with running() as (url, browser):
        if "load" in given.only:
            found = await repeated(given.repeat, partial(first_load, url, browser))
            print("\n| load | KB over the wire | requests |\n|---|--:|--:|")
            for visit in ("first", "second"):
                size, count = found[f"{visit}, KB"][0], found[f"{visit}, requests"][0]
                print(f"| {visit} | {size:.1f} | {count:.0f} |", flush=True)
        if "stream" in given.only:
            print(f"\n| {SIZE // 1000} KB at {RATE} tokens/s | CPU ", end="")
            print("| longest task, ms | tasks over 50 ms | frames/s |\n|---|--:|--:|--:|--:|")
            for text, slower in product(given.texts, (1, 4)):
                found = await repeated(given.repeat, partial(stream, url, browser, text, slower))
                (longest, worst), (many, most), (frames, _) = found.values()
                shown = f"{longest:.0f} ({worst:.0f}) | {many:.0f} ({most:.0f}) | {frames:.0f}"
                print(f"| {text} | ÷{slower} | {shown} |", flush=True)
        if "typing" in given.only:
            (key, worst), (shown, _) = (
                await repeated(given.repeat, partial(typing, url, browser))
            ).values()
            print(f"\n| typing behind {2 * ANSWERS} messages | ms of the main thread |\n|---|--:|")
            print(f"| a key ({shown:.0f} messages drawn) | {key:.1f} ({worst:.1f}) |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description="Measure the page.")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--texts", default=",".join(TEXTS), help="comma separated")
    parser.add_argument("--only", default="load,stream,typing", help="comma separated")
    given = parser.parse_args()
    given.texts = [name for name in given.texts.split(",") if name]
    if unknown := set(given.texts) - set(TEXTS):
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(TEXTS)}")
    asyncio.run(measured(given))


if __name__ == "__main__":
    main()

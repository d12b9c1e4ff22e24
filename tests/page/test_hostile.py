"""Texts that try to be more than text, on the real page in a real browser: none of them runs
a script, makes an element or an attribute of its own, or lets a request leave."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from realtime.models import (
    Finished,
    ModelEvent,
    Request,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolResult,
    Usage,
    UserText,
)
from realtime.tools import ToolError, tool
from tests.support.browser import browser
from tests.support.device import Device
from tests.support.process import ROOT
from tests.support.serving import Serve

HERE = Path(__file__).parent
CORPUS: dict[str, list[str]] = json.loads((HERE / "hostile.json").read_text("utf-8"))
PAYLOADS = [payload for group in CORPUS.values() for payload in group]
QUEUE = 5


@tool
async def echo(text: str) -> dict[str, str]:
    """Gives the text back."""
    return {"text": text, text: "a key"}


@tool
async def fail(text: str) -> None:
    """Fails with the text."""
    raise ToolError(text)


class Parrot:
    """Says what it was told, in pieces, after calling tools with it and by its name; the
    summary is the transcript."""

    name = label = PAYLOADS[0]

    async def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        last = request.context[-1]
        if not request.tools:  # the summary
            assert isinstance(last, UserText)
            yield [TextDelta(last.text), Finished("stop")]
            return
        text = next(item.text for item in reversed(request.context) if isinstance(item, UserText))
        if isinstance(last, ToolResult):
            cuts = random.Random(text)
            while text:
                size = cuts.randint(1, 8)
                yield [TextDelta(text[:size], "reasoning"), TextDelta(text[:size])]
                text = text[size:]
            yield [Usage(1, 1), Finished("stop")]
            return
        arguments = json.dumps({"text": text})
        for key, (name, raw) in enumerate([("echo", arguments), ("fail", arguments), (text, text)]):
            yield [ToolCallStarted(str(key), name), ToolCallReady(str(key), name, raw)]
        yield [Usage(1, 1), Finished("tool_calls")]

    async def check(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Listener:
    """Every host of the payloads: counts who comes."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._heard = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode("latin-1")
        async with self._heard:
            self.requests.append(line)
            self._heard.notify_all()
        writer.close()

    async def hears(self, path: str) -> None:
        async with asyncio.timeout(10), self._heard:
            await self._heard.wait_for(lambda: any(path in line for line in self.requests))


class Trap:
    """A browser in which all that leaves is known."""

    def __init__(self, context: BrowserContext, listener: Listener, home: str) -> None:
        self.context = context
        self.listener = listener
        self.asked: list[str] = []  # by the browser, whether it was let or not
        context.on("request", lambda request: self._ask(request.url, home))

    def _ask(self, url: str, home: str) -> None:
        if not url.startswith((home, home.replace("http", "ws"), "blob:", "data:")):
            self.asked.append(url)

    async def open(self, url: str, script: str = "") -> Page:
        page = await self.context.new_page()
        await page.add_init_script(script)
        await page.add_init_script(path=HERE / "watch.js")
        await page.goto(url)
        await expect(page.locator("#model")).not_to_be_empty()  # the page's own script ran
        return page

    async def settle(self, page: Page) -> None:
        """Whatever was begun before this has reached the listener."""
        await page.evaluate("() => void (new Image().src = 'http://evil.example/barrier')")
        await self.listener.hears("/barrier")
        self.asked.remove("http://evil.example/barrier")


@asynccontextmanager
async def trap(home: str, *, policy: bool, throws: bool = False) -> AsyncIterator[Trap]:
    """`policy`: whether the page's Content-Security-Policy holds."""
    listener = Listener()
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    resolver = f"--host-resolver-rules=MAP *.example 127.0.0.1:{port}"
    async with server, browser(resolver, throws=throws) as chromium:
        context = await chromium.new_context(bypass_csp=not policy)
        yield Trap(context, listener, home)


async def harmless(trapped: Trap, page: Page) -> None:
    assert await page.evaluate("watch.ran") == []
    assert await page.evaluate("watch.flaws") == []
    assert await page.evaluate("watch.violations") == []
    assert trapped.asked == []


def test_the_corpus() -> None:
    assert len(PAYLOADS) == len(set(PAYLOADS)) > 300


async def test_the_payloads_are_dangerous(serve: Serve) -> None:
    """What the tests below rely on: unsanitised they run, they ask, and all of it is noticed."""
    running = await serve()
    async with trap(running.url, policy=False, throws=True) as trapped:
        page = await trapped.open(running.url)
        await page.add_script_tag(path=ROOT / "node_modules/marked/lib/marked.umd.js")
        await page.evaluate(
            """async (payloads) => {
              const { Marked } = marked;
              const { body } = document; // before it is clobbered
              const make = document.createElement.bind(document, "div");
              watch.on = true;
              for (const payload of payloads) {
                watch.payload = payload;
                const element = make();
                element.className = "block";
                body.append(element);
                element.innerHTML = payload + new Marked().parse(payload);
                await null;
              }
              await new Promise((resolve) => setTimeout(resolve, 300));
            }""",
            [
                payload
                for payload in PAYLOADS
                if "refresh" not in payload and "<base" not in payload
            ],
        )
        await trapped.settle(page)
        assert len(await page.evaluate("watch.ran")) > 60
        assert len(await page.evaluate("watch.flaws")) > 200
        assert len(set(trapped.asked)) > 20
        assert len(trapped.listener.requests) > 20


@pytest.mark.parametrize("policy", [True, False])
async def test_wherever_they_stand_and_wherever_they_are_cut(serve: Serve, policy: bool) -> None:
    """The Content-Security-Policy has nothing to do; without it the list of elements holds."""
    running = await serve()
    async with trap(running.url, policy=policy) as trapped:
        page = await trapped.open(running.url)
        drawn = await page.evaluate((HERE / "drive.js").read_text("utf-8"), PAYLOADS)
        assert drawn == sum(map(len, PAYLOADS))
        await harmless(trapped, page)
        if not policy:
            await trapped.settle(page)
            assert await page.evaluate("watch.ran") == []
            assert len(trapped.listener.requests) == 1, "only ours"


async def test_through_the_server_and_the_whole_page(
    serve: Serve, device: Callable[..., Device]
) -> None:
    """Said, answered in pieces, as tools and what they take, give and complain, as summaries
    and as past sessions; nothing is left for the Content-Security-Policy to stop."""
    running = await serve(Parrot(), tools=("tests.page.test_hostile",))
    first = device(running.url)
    token = (await first.connect())["guest_token"]
    script = f"localStorage['realtime.token'] = {json.dumps(token)}"

    async def watch(page: Page, payloads: list[str]) -> None:
        one = device(running.url, token=token)
        session_id = (await one.connect())["session_id"]
        await page.evaluate("(id) => void (location.hash = `session=${id}`)", session_id)
        await expect(page.get_by_test_id("session-id")).to_have_text(session_id)
        for place in range(0, len(payloads), QUEUE):
            sent = [await one.send(text) for text in payloads[place : place + QUEUE]]
            await one.done(sent[-1]["run_id"])
        await expect(page.locator(".message.user")).to_have_count(len(payloads))
        await one.call("end")
        await expect(page.get_by_test_id("summary")).to_contain_text(payloads[0])

    async with trap(running.url, policy=True) as trapped:
        pages = [await trapped.open(running.url, script) for _ in range(3)]
        for page in pages:
            await page.get_by_test_id("start-session").click()
            await page.evaluate("watch.on = true")
        await asyncio.gather(*(watch(page, PAYLOADS[at::12]) for at, page in enumerate(pages)))
        page = pages[0]
        await expect(page.locator("#past-sessions .session")).to_have_count(3)
        await page.locator("#past-sessions a").last.click()
        await expect(page.locator("#transcript .message.user")).not_to_have_count(0)
        for page in pages:
            await harmless(trapped, page)
        assert trapped.listener.requests == []

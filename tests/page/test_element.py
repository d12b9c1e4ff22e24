"""`<realtime-chat>` in pages of others: beside their styles, twice, and through a bundler."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, Locator, WebSocket, expect

from realtime.app import create_app
from realtime.auth import User
from realtime.config import Settings
from realtime.models.demo import DemoModel
from tests.support.process import ROOT
from tests.support.scripted import ScriptedModel, says

Host = Callable[[str], Awaitable[str]]

ELEMENT = '<script type="module" src="/ai/client/realtime-chat.js"></script>'
UNFRIENDLY = """<style>
  html { font-style: italic; color: red }
  * { letter-spacing: 9px; text-transform: uppercase; box-sizing: content-box }
  button, textarea, form, article { display: none !important }
  realtime-chat { height: 30rem; --accent: rgb(200 0 100) }
  #outside { display: block !important }
</style>
<button id="send">Ours</button><p id="transcript">Ours</p><textarea id="outside"></textarea>"""

RECORDED = """<script>
  told = [];
  const tell = ({ type, target, detail }) => told.push([type, target.id, detail]);
  for (const type of ["session", "message", "done", "error"])
    document.addEventListener(type, tell, true);
</script>"""


@pytest.fixture
async def host(aiohttp_server: Any, settings: Settings) -> Host:
    """Serves a page with this body, from the origin of the server."""

    async def page(body: str) -> str:
        async def document(request: web.Request) -> web.Response:
            text = f'<!doctype html><html lang="en"><title>Theirs</title><body>{body}'
            return web.Response(text=text, content_type="text/html")

        site = web.Application()
        site.router.add_get("/", document)
        site.add_subapp("/ai/", create_app(settings, model=DemoModel(delay_s=0)))
        return str((await aiohttp_server(site)).make_url("/"))

    return page


async def ask(chat: Locator, text: str) -> None:
    await chat.get_by_test_id("message-box").fill(text)
    await chat.get_by_test_id("message-box").press("Enter")


async def answered(chat: Locator, text: str) -> None:
    answer = chat.locator(".message.assistant").last
    await expect(answer).to_contain_text(text)  # its first one compresses modules


async def test_it_stands_in_a_page_of_others_and_tells_what_happens(
    host: Host, chromium: Browser
) -> None:
    page = await chromium.new_page()
    around = f"{UNFRIENDLY}{RECORDED}{ELEMENT}"
    await page.goto(await host(f"{around}<realtime-chat id=c></realtime-chat>"))
    chat = page.locator("realtime-chat")
    await expect(chat.get_by_test_id("message-box")).to_be_visible()
    assert await page.evaluate("document.activeElement.localName") == "body", "it takes no focus"
    await ask(chat, "count to 4")
    await answered(chat, "1 2 3 4")
    send = chat.get_by_test_id("send")
    for style, value in (
        ("font-style", "normal"),
        ("letter-spacing", "normal"),
        ("text-transform", "none"),
        ("box-sizing", "border-box"),
        ("background-color", "rgb(200, 0, 100)"),
    ):
        await expect(send).to_have_css(style, value)
    await page.add_style_tag(content="realtime-chat::part(answer) { border-top: 7px solid }")
    await expect(chat.locator(".message.assistant")).to_have_css("border-top-width", "7px")

    told = await page.evaluate("told")
    assert sorted((kind, source) for kind, source, _ in told) == [
        ("done", "c"),
        ("message", "c"),
        ("session", "c"),
    ]
    known = {kind: detail for kind, _, detail in told}
    assert known["message"]["text"] == "count to 4"
    assert known["done"]["status"] == "completed"
    assert known["done"]["text"].endswith("1 2 3 4")
    session_id = known["session"]["session_id"]
    assert await chat.evaluate("(chat) => chat.session") == session_id
    assert (page.url.count("/"), await page.title()) == (3, "Theirs"), "neither is its own"
    await expect(page.get_by_role("main")).to_have_count(0), "nor is it what the page is about"

    await page.reload()
    await answered(chat, "1 2 3 4")
    await chat.evaluate("(chat) => { chat.session = '11111111-1111-4111-8111-111111111111' }")
    await page.wait_for_function("told.some(([, , detail]) => detail.code === 'not_found')")


async def test_two_are_apart_and_one_that_is_removed_leaves_nothing(
    host: Host, chromium: Browser
) -> None:
    page = await chromium.new_page()
    open_ones: set[WebSocket] = set()

    def opened(socket: WebSocket) -> None:
        open_ones.add(socket)
        socket.on("close", lambda socket: open_ones.discard(socket))

    page.on("websocket", opened)
    chats = "<realtime-chat></realtime-chat><realtime-chat></realtime-chat>"
    await page.goto(await host(f"{RECORDED}{ELEMENT}{chats}"))
    first, second = page.locator("realtime-chat").nth(0), page.locator("realtime-chat").nth(1)
    await ask(first, "count to 3")
    await ask(second, "count to 5")
    await answered(first, "1 2 3")
    await answered(second, "1 2 3 4 5")
    await expect(first.locator(".message.assistant")).to_have_count(1)
    one, other = [await chat.evaluate("(chat) => chat.session") for chat in (first, second)]
    assert one != other
    open_ones.clear()
    await page.reload()
    await answered(first, "1 2 3")
    await answered(second, "1 2 3 4 5")
    assert len(open_ones) == 2

    await second.evaluate("(chat) => chat.remove()")
    while len(open_ones) > 1:
        await asyncio.sleep(0.05)
    await ask(first, "count to 2")
    await expect(first.locator(".message.assistant").last).to_have_text("1 2")


async def test_those_in_shadow_roots_are_apart_and_one_put_back_goes_on(
    host: Host, chromium: Browser
) -> None:
    page = await chromium.new_page()
    shadows = """<div></div><div></div><script>
      chats = [...document.querySelectorAll("div")].map((div) => {
        const chat = document.createElement("realtime-chat");
        div.attachShadow({ mode: "open" }).append(chat);
        return chat;
      });
    </script>"""
    await page.goto(await host(f"{ELEMENT}{shadows}"))
    first, second = page.locator("realtime-chat").nth(0), page.locator("realtime-chat").nth(1)
    await ask(first, "count to 3")
    await ask(second, "count to 5")
    await answered(first, "1 2 3")
    await answered(second, "1 2 3 4 5")
    await page.reload()
    await answered(second, "1 2 3 4 5")
    await answered(first, "1 2 3")
    sessions = await page.evaluate("chats.map((chat) => chat.session)")
    assert len(set(sessions)) == 2

    await page.evaluate(
        "[0, 1, 1].map((n, i) => i < 2 ? chats[n].remove() : document.body.append(chats[n]))"
    )
    await answered(page.locator("realtime-chat"), "1 2 3 4 5")
    assert await page.evaluate("chats[1].session") == sessions[1]


async def test_a_token_that_does_not_come_is_what_it_says_and_one_that_comes_late_is_taken(
    host: Host, chromium: Browser
) -> None:
    page = await chromium.new_page()
    asks = "<script>asked = []; token = () => new Promise((give) => asked.push(give))</script>"
    await page.goto(await host(f"{ELEMENT}{asks}<realtime-chat></realtime-chat>"))
    chat = page.locator("realtime-chat")
    await chat.evaluate("(chat) => { chat.token = token }")
    await ask(chat, "count to 3")
    banner = chat.locator("#banner")
    await expect(banner).to_contain_text("did not say who you are", timeout=20_000)
    await page.evaluate("asked.forEach((give) => give())")
    await answered(chat, "1 2 3")


async def test_it_speaks_the_language_of_the_page_around_it(host: Host, chromium: Browser) -> None:
    page = await chromium.new_page()
    await page.goto(await host(f"{ELEMENT}<div lang=de-AT><realtime-chat></realtime-chat></div>"))
    await expect(page.get_by_role("button", name="Senden")).to_be_visible()
    await expect(page.locator("realtime-chat .chat")).to_have_attribute("lang", "de-AT")


async def vite(source: Path, out: Path) -> None:
    """Build an application, as its developer would."""
    build = "const [, root, outDir] = process.argv; const { build } = await import('vite'); "
    call = "await build({ root, logLevel: 'warn', build: { outDir } })"
    child = await asyncio.create_subprocess_exec(
        *("node", "--input-type=module", "-e", build + call, str(source), str(out)),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await child.communicate()
    assert child.returncode == 0, said.decode()


async def test_a_bundler_takes_it_to_another_origin_where_a_token_says_who_it_is(
    aiohttp_server: Any, settings: Settings, chromium: Browser, tmp_path: Path
) -> None:
    source, out = tmp_path / "app", tmp_path / "dist"
    source.mkdir()
    (source / "client").symlink_to(ROOT / "client")
    (source / "main.js").write_text(
        'import "./client/realtime-chat.js";\n'
        'const chat = Object.assign(document.createElement("realtime-chat"), {\n'
        '  server: new URL(location.href).searchParams.get("server"),\n'
        '  token: async () => "ada",\n'
        "});\n"
        "document.body.append(chat);\n",
        "utf-8",
    )
    (source / "index.html").write_text(
        '<!doctype html><script type="module" src="/main.js"></script>', "utf-8"
    )
    await vite(source, out)

    asked = []

    async def authenticate(token: str | None, request: web.Request) -> User | None:
        asked.append(token)
        return User(token) if token else None

    async def document(request: web.Request) -> web.FileResponse:
        policy = f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src {server}"
        return web.FileResponse(out / "index.html", headers={"Content-Security-Policy": policy})

    site = web.Application()
    site.router.add_get("/", document)
    site.router.add_static("/assets", out / "assets")
    home = str((await aiohttp_server(site)).make_url("")).rstrip("/")
    app = create_app(
        replace(settings, allowed_origins=(home,)),
        model=ScriptedModel(says("```python\ndef f(): pass\n```\n\n\\(a^2\\)")),
        authenticate=authenticate,
    )
    server = str((await aiohttp_server(app)).make_url("")).rstrip("/")
    server = f"{server} {server.replace('http', 'ws')}"

    page = await chromium.new_page()
    await page.goto(f"{home}/?server={server.split()[0]}")
    chat = page.locator("realtime-chat")
    await ask(chat, "show me")
    await expect(chat.locator(".code-keyword").first).to_have_text("def")
    await expect(chat.locator("math")).to_be_visible()
    await expect(chat.locator("#past-sessions a")).to_have_count(1)
    assert set(asked) == {"ada"}

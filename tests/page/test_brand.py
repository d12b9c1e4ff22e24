"""The page in an operator's title, logo, colour, style and files, and in frames of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from tests.page.acting import answered, say
from tests.support.fetch import fetch
from tests.support.serving import Serve

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9"/></svg>'
)
DRAWN = "image => image.complete && image.naturalWidth > 0"

CONTRASTS = """() => {
  const [canvas, root] = [new OffscreenCanvas(1, 1).getContext("2d"), document.documentElement];
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const part = (byte) => {
      const value = byte / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    };
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const probe = document.body.appendChild(document.createElement("i"));
  const seen = (name) => {
    probe.style.color = `var(${name})`;
    return luminance(getComputedStyle(probe).color);
  };
  const found = [];
  for (root.dataset.theme of ["light", "dark"]) {
    for (const other of ["--ground", "--surface", "--sunk", "--mine", "--accent-ink"]) {
      const [less, more] = [seen("--accent"), seen(other)].sort((one, two) => one - two);
      found.push([`${root.dataset.theme} ${other}`, (more + 0.05) / (less + 0.05)]);
    }
  }
  return found.filter(([, contrast]) => contrast < 4.5);
}"""


EDGES = (
    CONTRASTS.replace('"--mine", "--accent-ink"', "")
    .replace("--accent", "--edge")
    .replace("< 4.5", "< 3")
)
"""The same of the edges of fields, which are no text."""


async def visit(chromium: Browser, url: str) -> Page:
    page = await chromium.new_page()
    await page.goto(url)
    return page


async def test_a_title_a_logo_and_a_style_of_ones_own(
    serve: Serve, chromium: Browser, tmp_path: Path
) -> None:
    (tmp_path / "logo.svg").write_text(LOGO, "utf-8")
    (tmp_path / "own.css").write_text("#send { border-radius: 3px; }", "utf-8")
    running = await serve(
        page_title="Ann & <Co>",
        page_logo=str(tmp_path / "logo.svg"),
        page_css=str(tmp_path / "own.css"),
        page_accent="#0b57d0",
    )
    page = await visit(chromium, running.url)
    await expect(page).to_have_title("Ann & <Co>")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Ann & <Co>")
    await expect(page.get_by_test_id("send")).to_have_css("border-radius", "3px")
    assert await page.locator(".logo").evaluate(DRAWN)
    await say(page, "count to 4")
    await answered(page, "1 2 3 4")
    await page.reload()
    assert await page.locator(".logo").evaluate(DRAWN), "at a session's address, too"


@pytest.mark.parametrize(
    "accent", ["#ff0", "#001a66", "rgb(0 255 0)", "hsl(330, 100%, 50%)", "Teal"]
)
async def test_any_accent_can_be_read(serve: Serve, chromium: Browser, accent: str) -> None:
    running = await serve(page_accent=accent)
    page = await visit(chromium, running.url)
    plain = "getComputedStyle(document.documentElement).getPropertyValue('--accent')"
    assert "oklch" in await page.evaluate(plain)
    assert await page.evaluate(CONTRASTS) == []


async def test_the_edge_of_a_field_can_be_seen(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    page = await visit(chromium, running.url)
    assert await page.evaluate(EDGES) == []
    shown = await page.get_by_test_id("message-box").evaluate(
        "(box) => [getComputedStyle(box).borderColor, getComputedStyle(box.form).borderTopColor]"
    )
    assert shown[0] != shown[1], "it is not the colour of a line"


async def test_what_is_elsewhere_is_let_in(
    serve: Serve, chromium: Browser, aiohttp_server: Any
) -> None:
    async def logo(request: web.Request) -> web.Response:
        return web.Response(text=LOGO, content_type="image/svg+xml")

    async def css(request: web.Request) -> web.Response:
        return web.Response(text="#send { border-radius: 3px; }", content_type="text/css")

    cdn = web.Application()
    cdn.add_routes([web.get("/logo.svg", logo), web.get("/own.css", css)])
    url = str((await aiohttp_server(cdn)).make_url("")).rstrip("/")
    running = await serve(page_logo=f"{url}/logo.svg", page_css=f"{url}/own.css")
    page = await visit(chromium, running.url)
    await expect(page.get_by_test_id("send")).to_have_css("border-radius", "3px")
    await expect(page.locator(".logo")).to_have_js_property("complete", True)
    assert await page.locator(".logo").evaluate(DRAWN)


async def test_files_of_ones_own_come_first(
    serve: Serve, chromium: Browser, tmp_path: Path
) -> None:
    words = tmp_path / "page/words"
    words.mkdir(parents=True)
    (words / "en.js").write_text(
        'import words from "../../words-of-the-page.js";\n'
        'export default { ...words, welcome: "Ask Ann" };\n',
        "utf-8",
    )
    (tmp_path / "words-of-the-page.js").write_text(
        (Path(__file__).parents[2] / "client/page/words/en.js").read_text("utf-8"), "utf-8"
    )
    running = await serve(client_dir=str(tmp_path))
    page = await visit(chromium, running.url)
    await expect(page.get_by_role("heading", name="Ask Ann")).to_be_visible()
    await say(page, "count to 4")
    await answered(page, "1 2 3 4")


async def test_a_frame_shows_it_where_it_is_allowed(
    serve: Serve, chromium: Browser, aiohttp_server: Any
) -> None:
    async def around(request: web.Request) -> web.Response:
        return web.Response(
            text=f'<iframe src="{request.query["url"]}"></iframe>', content_type="text/html"
        )

    site = web.Application()
    site.add_routes([web.get("/", around)])
    host = str((await aiohttp_server(site)).make_url("/"))
    listed = await serve(frame_ancestors=(host.rstrip("/"),))
    page = await chromium.new_page()
    await page.goto(f"{host}?url={listed.url}/")
    shown = page.frame_locator("iframe").get_by_test_id("message-box")
    await expect(shown).to_be_visible()
    await listed.stop()
    unlisted = await serve()
    await page.goto(f"{host}?url={unlisted.url}/", wait_until="networkidle")
    await expect(shown).to_have_count(0)
    policy = (await fetch(f"{unlisted.url}/")).headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy

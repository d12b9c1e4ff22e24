"""Files on the page: chosen, pasted, dropped; shown, saved, and run by nobody."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from aiohttp import web
from playwright.async_api import Browser, FilePayload, Page, ViewportSize, expect

from realtime.edge.http import files as routes
from realtime.models import HostedCall, Media
from realtime.runs.chain import Chain, Link
from realtime.tools import ToolContext, tool
from tests.page.acting import answered, shared
from tests.page.test_layout import box, met
from tests.support.attach import png
from tests.support.engine import Engine
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve

PICTURE: FilePayload = {"name": "plan.png", "mimeType": "image/png", "buffer": png(40, 30)}
GIVEN = """(element, [how, data, name, type]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], name, { type }));
  element.dispatchEvent(how === "paste"
    ? new ClipboardEvent("paste", { clipboardData: given, bubbles: true, cancelable: true })
    : new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true }));
}"""


def sighted(*scripts: object) -> Chain:
    model = ScriptedModel(*(scripts or (says("A plan."),)))  # type: ignore[arg-type]
    return Chain([Link(model, "", takes=("image", "pdf"))])


@pytest.fixture
async def page(chromium: Browser) -> Page:
    return await (await chromium.new_context()).new_page()


async def begin(page: Page, url: str) -> None:
    await page.goto(url)
    await page.get_by_test_id("start-session").click()
    await expect(page.get_by_test_id("attach")).to_be_enabled()


async def loaded(page: Page, where: str) -> None:
    """The picture there is shown, as wide as it is."""
    image = page.locator(f"{where} img")
    await expect(image).to_have_count(1)
    assert await image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 40


async def give(page: Page, how: str, data: bytes, name: str, kind: str) -> None:
    box = page.get_by_test_id("message-box")
    await box.evaluate(GIVEN, [how, base64.b64encode(data).decode(), name, kind])


async def test_a_file_is_chosen_sent_shown_and_saved(
    serve: Serve, page: Page, tmp_path: Path
) -> None:
    running = await serve(sighted())
    await begin(page, running.url)
    attached, send = page.get_by_test_id("attached"), page.get_by_test_id("send")
    await expect(send).to_be_disabled()
    async with page.expect_file_chooser() as chooser:
        await page.get_by_test_id("attach").click()
    await (await chooser.value).set_files([PICTURE])
    await expect(attached.locator("li")).to_have_attribute("data-state", "ready")
    await loaded(page, "#attached")
    await expect(send).to_be_enabled()  # without a word
    await send.click()
    await expect(attached).to_be_hidden()
    await expect(page.locator(".message.assistant")).to_contain_text("A plan.")
    await loaded(page, "#transcript .message.user")
    async with page.expect_download() as download:
        await page.locator("#transcript .message.user .file").click()
    saved = await download.value
    assert saved.suggested_filename == "plan.png"
    assert Path(await saved.path()).read_bytes() == png(40, 30)

    await page.reload()
    await loaded(page, "#transcript .message.user")
    share = await page.context.new_page()
    await share.goto(await shared(page))
    await loaded(share, "#transcript .message.user")


async def test_files_stay_with_their_message(serve: Serve, page: Page) -> None:
    model = ScriptedModel(says("A plan."), says("Another plan."))
    running = await serve(Chain([Link(model, "", takes=("image", "pdf"))]))
    await begin(page, running.url)
    chips = page.locator("#attached li[data-state=ready]")
    await give(page, "drop", b"a,b\n", "t.csv", "text/csv")
    await expect(chips).to_have_count(1)
    await page.get_by_test_id("message-box").fill("What is it?")
    await page.get_by_test_id("message-box").press("Enter")
    await expect(page.locator(".message.assistant")).to_have_text("A plan.")
    await give(page, "drop", png(40, 30), "plan.png", "image/png")
    await expect(chips).to_have_count(1)
    await page.reload()
    await expect(chips).to_have_count(1)
    address = page.url
    await page.get_by_test_id("start-session").click()
    await expect(chips).to_have_count(0)
    await expect(page).not_to_have_url(address)
    await page.go_back()
    await expect(chips).to_have_count(1)
    await page.get_by_role("button", name="Remove plan.png").click()
    await page.reload()
    await expect(page.locator(".message.assistant")).to_have_text("A plan.")
    await expect(chips).to_have_count(0)

    await page.locator(".message.user").hover()
    await page.get_by_role("button", name="Edit").click()
    await page.locator(".edit-form textarea").fill("What is that?")
    await page.locator(".edit-form textarea").press("Enter")
    await expect(page.locator(".message.assistant")).to_have_text("Another plan.")
    await expect(page.locator(".message.user .file")).to_have_count(1)
    assert "t.csv" in str(model.requests[-1].context)


async def test_a_file_that_is_too_large_is_not_sent(serve: Serve, page: Page) -> None:
    running = await serve(sighted(), file_mb=1)
    uploads: list[str] = []
    page.on("request", lambda request: uploads.append(request.url))
    await begin(page, running.url)
    await give(page, "drop", b"a" * (2**20 + 1), "large.txt", "text/plain")
    toast = "large.txt is too large: a file may have 1 MB at most."
    await expect(page.locator("#toast")).to_have_text(toast)
    assert not any("/api/sessions/" in url for url in uploads)


async def test_a_file_over_the_page_has_somewhere_to_go(serve: Serve, page: Page) -> None:
    await page.goto((await serve(sighted())).url)
    over = """(body, name) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([], "a.txt"));
      body.dispatchEvent(new DragEvent(name, { dataTransfer, bubbles: true, cancelable: true }));
    }"""
    body = page.locator("body")
    await expect(page.get_by_test_id("attach")).to_be_enabled()
    await body.evaluate(over, "dragover")
    await expect(body).to_have_attribute("data-dragging", "")
    await body.evaluate(over, "dragleave")
    await expect(body).not_to_have_attribute("data-dragging", "")


async def test_a_file_that_misses_the_conversation_does_not_leave_the_page(
    serve: Serve, page: Page
) -> None:
    running = await serve(sighted())
    await begin(page, running.url)
    data = base64.b64encode(b"a,b\n").decode()
    await page.locator("#sidebar").evaluate(GIVEN, ["drop", data, "t.csv", "text/csv"])
    await expect(page.locator("#attached li[data-state=ready]")).to_have_count(1)


@pytest.mark.parametrize("how", ["paste", "drop"])
async def test_a_file_is_pasted_or_dropped(serve: Serve, page: Page, how: str) -> None:
    running = await serve(sighted())
    await begin(page, running.url)
    await give(page, how, png(40, 30), "shot.png", "image/png")
    await loaded(page, "#attached")
    await give(page, how, b"a,b\n", "t.csv", "text/csv")
    chips = page.locator("#attached li[data-state=ready]")
    await expect(chips).to_have_count(2)
    await page.get_by_role("button", name="Remove t.csv").click()
    await expect(chips).to_have_count(1)
    await page.get_by_test_id("message-box").fill("What is it?")
    await page.get_by_test_id("message-box").press("Enter")
    said = page.locator("#transcript .message.user")
    await expect(said).to_contain_text("What is it?")
    await expect(said.locator(".file")).to_have_count(1)


async def test_a_server_that_keeps_no_files_is_offered_none(
    serve: Serve, page: Page, tmp_path: Path
) -> None:
    with Engine(tmp_path / "engine") as engine:
        running = await serve(sighted(), valkey_url=engine.url)
        await page.goto(running.url)
        await page.get_by_test_id("start-session").click()
        await expect(page.get_by_test_id("message-box")).to_be_enabled()
        await expect(page.get_by_test_id("attach")).to_be_hidden()
        await give(page, "paste", png(40, 30), "shot.png", "image/png")
        await expect(page.locator("#toast")).to_contain_text("this server keeps no files")
        await running.stop()


async def test_an_upload_shows_how_far_it_is_and_can_be_taken_back(
    serve: Serve, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, gone = asyncio.Event(), asyncio.Event()
    body = routes.body

    async def slow(request: web.Request) -> AsyncIterator[bytes]:
        try:
            await go_on.wait()
            async for chunk in body(request):
                yield chunk
        finally:
            gone.set()

    monkeypatch.setattr(routes, "body", slow)
    running = await serve(sighted())
    await begin(page, running.url)
    await page.get_by_test_id("files").set_input_files([PICTURE])
    await page.get_by_test_id("message-box").fill("too early")
    await expect(page.locator("#attached progress")).to_be_visible()
    await expect(page.get_by_test_id("send")).to_be_disabled()
    await page.get_by_test_id("message-box").press("Enter")
    await expect(page.get_by_test_id("message-box")).to_have_value("too early")
    await page.get_by_role("button", name="Remove plan.png").click()
    await expect(page.get_by_test_id("attached")).to_be_hidden()
    await expect(page.get_by_test_id("send")).to_be_enabled()
    await expect(page.locator("#toast")).to_be_hidden()
    go_on.set()
    async with asyncio.timeout(10):
        await gone.wait()


async def test_a_refusal_is_told(serve: Serve, page: Page) -> None:
    running = await serve(file_mb=1)  # and the model takes text alone
    await begin(page, running.url)
    large: FilePayload = {"name": "big.bin", "mimeType": "", "buffer": bytes(2**20 + 1)}
    await page.get_by_test_id("files").set_input_files([large])
    toast = page.locator("#toast")
    await expect(toast).to_contain_text("big.bin is too large: a file may have 1 MB")
    await page.get_by_test_id("files").set_input_files([PICTURE] * 11)
    await expect(toast).to_contain_text("10 files at most")
    await expect(page.locator("#attached li[data-state=ready]")).to_have_count(10)
    await page.get_by_test_id("send").click()
    pending = page.locator(".message.pending")
    await expect(pending).to_contain_text("The model cannot read plan.png. It takes text only.")
    await expect(pending.locator(".file-name")).to_have_count(10)
    await pending.get_by_role("button", name="Edit").click()  # they come back
    await expect(page.locator("#attached li")).to_have_count(10)


async def test_a_message_that_is_refused_shows_each_of_its_files_by_itself(
    serve: Serve, page: Page
) -> None:
    await begin(page, (await serve()).url)  # whose model takes text alone
    names = ("pic.png", "note.png", "a.png", "scan.png")
    await page.get_by_test_id("files").set_input_files([{**PICTURE, "name": one} for one in names])
    await expect(page.locator("#attached li[data-state=ready]")).to_have_count(4)
    await page.get_by_test_id("send").click()
    pending = page.locator(".message.pending[data-status=failed]")
    await expect(pending.locator(".file-name")).to_have_text(list(names))
    for one in await pending.locator(".file-name").all():
        await expect(one).to_have_css("border-top-style", "solid")
    rows = [(await box(one)).top for one in await pending.get_by_role("button").all()]
    assert len(rows) > 1
    assert len(set(rows)) == 1


@pytest.mark.parametrize("width", [1280, 390, 320])
async def test_a_picture_fills_its_card(serve: Serve, page: Page, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto((await serve(sighted())).url)
    await expect(page.get_by_test_id("attach")).to_be_enabled()
    wide: FilePayload = {**PICTURE, "name": f"the{' long' * 20} name.png", "buffer": png(1200, 700)}
    await page.get_by_test_id("files").set_input_files([wide])
    await expect(page.locator("#attached li[data-state=ready]")).to_have_count(1)
    await page.get_by_test_id("send").click()
    card = page.locator("#transcript .message.user .file")
    await expect(card.locator("img")).to_be_visible()
    await answered(page, "A plan.")

    async def filled() -> None:
        shown, drawn = await box(card), await box(card.locator("img"))
        assert 200 < drawn.width <= 288
        assert abs(drawn.width / drawn.height - 1200 / 700) < 0.05
        assert shown.width - drawn.width < 20

    await filled()
    await page.locator(".message.user").hover()
    await page.get_by_role("button", name="Edit").click()
    await expect(page.locator(".message.editing")).to_be_visible()
    await filled()


async def test_many_files_leave_the_conversation_its_room(serve: Serve, chromium: Browser) -> None:
    size: ViewportSize = {"width": 390, "height": 844}
    context = await chromium.new_context(viewport=size, has_touch=True, is_mobile=True)
    page = await context.new_page()
    await page.goto((await serve(sighted())).url)
    await expect(page.get_by_test_id("attach")).to_be_enabled()
    names = [f"{number} {'quarterly figures of all branches ' * 3}.png" for number in range(10)]
    given: list[FilePayload] = [{**PICTURE, "name": name} for name in names]
    await page.get_by_test_id("files").set_input_files(given)
    chips = page.locator("#attached li[data-state=ready]")
    await expect(chips).to_have_count(10)
    await expect(chips.locator("img")).to_have_count(10)
    assert (await box(page.locator("#composer"))).height < 844 / 2
    room = await box(page.locator("#attached"))
    for chip in await chips.all():
        one = await box(chip)
        assert one.height < 60
        for part in (chip, chip.get_by_role("button")):
            assert await part.evaluate("(one) => one.scrollWidth <= one.clientWidth")
        assert room.left <= one.left
        assert one.right <= room.right
    named = chips.last.locator(".file-name")
    await expect(named).to_have_text(names[-1])
    await expect(named).to_have_attribute("title", names[-1])
    end = """(name) => {
      const end = document.createRange();
      end.setStart(name.lastChild, name.lastChild.length - 4);
      end.setEnd(name.lastChild, name.lastChild.length);
      return end.getBoundingClientRect().right - name.getBoundingClientRect().right;
    }"""
    assert await named.evaluate(end) <= 0.5  # ".png" is seen
    remove = chips.last.get_by_role("button")
    await remove.scroll_into_view_if_needed()
    assert await met(remove)


async def test_a_german_reader_is_told_in_german_what_the_model_cannot_read(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    page = await (await chromium.new_context(locale="de-DE")).new_page()
    await page.goto(running.url)
    await page.get_by_test_id("files").set_input_files([PICTURE])
    await expect(page.locator("#attached li[data-state=ready]")).to_have_count(1)
    await page.get_by_test_id("send").click()
    why = "Das Modell kann plan.png nicht lesen. Es nimmt nur Text."
    await expect(page.locator(".message.pending .hint")).to_have_text(why)


async def test_what_a_tool_made_is_shown_and_a_script_is_not_run(
    serve: Serve, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool
    async def draw(context: ToolContext) -> str:
        context.add_file("plan.png", "image/png", png(40, 30))
        context.add_file("<img src=x onerror=alert(1)>.html", "text/html", b"<script>alert(1)")
        return "drawn"

    module = ModuleType("drawing")
    module.draw = draw  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "drawing", module)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    running = await serve(sighted(asks(("draw", "{}")), says("Done.")), tools=("drawing",))
    await begin(page, running.url)
    await page.get_by_test_id("message-box").fill("draw")
    await page.get_by_test_id("message-box").press("Enter")
    await loaded(page, ".tool-card")
    await expect(page.locator(".tool-card .file")).to_have_count(2)
    async with page.expect_download() as download:
        await page.locator(".tool-card .file").last.click()
    assert (await download.value).suggested_filename.endswith(".html")
    assert await page.locator(".tool-card img").count() == 1
    assert dialogs == []


async def test_what_a_tool_of_the_provider_made_is_shown(serve: Serve, page: Page) -> None:
    made = Media("image.png", "image/png", base64.b64encode(png(40, 30)).decode())
    call = partial(HostedCall, "0", "image_generation")
    script = [[call("running")], [call("completed", made=(made,))], *says("Here it is.")]
    running = await serve(sighted(script))
    await begin(page, running.url)
    await page.get_by_test_id("message-box").fill("Draw.")
    await page.get_by_test_id("send").click()
    await loaded(page, ".tool-card")
    await page.reload()
    await loaded(page, ".tool-card")

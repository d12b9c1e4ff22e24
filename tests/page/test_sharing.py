"""A session's link, as its owner gives it and takes it back, between two browsers."""

from __future__ import annotations

from playwright.async_api import Browser, Page, expect

from tests.page.acting import say, shared, started
from tests.page.stage import SESSION, Stage
from tests.support.serving import Serve


async def link(page: Page, access: str) -> str:
    """A new link, as the open panel shows it."""
    links = page.get_by_test_id("share-link")
    before = await links.count()
    await page.get_by_test_id("share-access").select_option(access)
    await page.get_by_test_id("make-link").click()
    await expect(links).to_have_count(before + 1)
    return await links.first.input_value()


async def test_a_link_to_read_one_to_take_part_and_both_void(
    serve: Serve, chromium: Browser
) -> None:
    running = await serve()
    owner = await started(chromium, running.url)
    await say(owner, "My name is Ada.")
    assert await shared(owner)

    reader = await (await chromium.new_context()).new_page()
    await reader.goto(await link(owner, "read"))
    await expect(reader.locator(".message.user")).to_contain_text("My name is Ada.")
    assert "share" not in reader.url, "the token does not stay in the address"
    for hidden in ("message-box", "end-session", "copy-link"):
        await expect(reader.get_by_test_id(hidden)).to_be_hidden()
    await expect(reader.locator("#banner")).to_contain_text("read along")

    writer = await (await chromium.new_context()).new_page()
    await writer.goto(await link(owner, "full"))
    await expect(writer.get_by_test_id("copy-link")).to_be_hidden()
    await say(writer, "count to 5")
    for page in (owner, reader, writer):
        await expect(page.locator(".message.assistant").last).to_contain_text("1 2 3 4 5")

    await owner.get_by_test_id("unshare").click()
    await expect(owner.get_by_test_id("share-link")).to_have_count(0)
    for page in (reader, writer):
        state = page.get_by_test_id("connection-state")
        await expect(state).to_have_attribute("data-state", "error")
        await expect(page.locator("#banner")).to_contain_text("not here any more")
        await page.locator("#banner").get_by_role("button", name="Start a new one").click()
        await expect(page.get_by_test_id("message-box")).to_be_visible()
    await expect(owner.get_by_test_id("connection-state")).to_have_text("Live")


async def test_people_are_called_by_their_names(serve: Serve, chromium: Browser) -> None:
    running = await serve()
    owner = await started(chromium, running.url)
    await say(owner, "count to 3")
    await expect(owner.locator(".message.assistant")).to_contain_text("1 2 3")
    await expect(owner.get_by_test_id("people")).to_be_hidden()
    await expect(owner.get_by_test_id("name")).to_be_hidden()
    await expect(owner.locator(".author")).to_be_hidden()
    assert await shared(owner)

    writer = await (await chromium.new_context()).new_page()
    await writer.goto(await owner.get_by_test_id("share-link").input_value())
    await expect(owner.get_by_test_id("people")).to_have_text("Here: you, somebody with the link")
    people = owner.get_by_test_id("people")
    await expect(owner.locator(".author")).to_have_text("you")
    await writer.get_by_test_id("name").fill("the owner \u202e")
    await writer.get_by_test_id("name").press("Tab")
    await expect(people).to_have_text("Here: you, the owner")
    role = people.locator(".role")
    await expect(role).to_have_text(["you"])
    await say(writer, "count to 5")
    for page, says in ((owner, "the owner"), (writer, "the owner you")):
        await expect(page.locator(".message.assistant").last).to_contain_text("1 2 3 4 5")
        await expect(page.locator(".author").last).to_have_text(says)
    await writer.reload()
    await expect(people).to_have_text("Here: you, the owner")


async def test_looking_makes_no_link_and_each_press_makes_one(
    stage: Stage, chromium: Browser
) -> None:
    context = await chromium.new_context()
    refuse = "navigator.clipboard.writeText = () => Promise.reject(new Error('refused'))"
    await context.add_init_script(f"if (navigator.clipboard) {refuse}")
    page = await started(context, stage.url)
    panel, links = page.locator("#share-panel"), page.get_by_test_id("share-link")
    await page.get_by_test_id("copy-link").click()
    await expect(panel.get_by_role("combobox")).to_be_focused()
    await expect(links).to_have_count(0)
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(page.get_by_test_id("copy-link")).to_be_focused()
    assert [name for name, _ in stage.asked if name == "share"] == []

    await page.keyboard.press("Enter")
    for access, token in (("full", "one"), ("read", "two")):
        stage.answers["share"] = {"ok": True, "share": token}
        await panel.get_by_role("combobox").select_option(access)
        await panel.get_by_role("button", name="Make a link").click()
        assert (await stage.was_asked("share"))["access"] == access
    shared = [f"{stage.url}#session={SESSION}&share={token}" for token in ("two", "one")]
    await expect(links).to_have_count(2)
    assert [await one.input_value() for one in await links.all()] == shared
    await expect(links.first).to_be_focused()
    await expect(links.first).to_have_attribute("readonly", "")
    await panel.get_by_role("button", name="Copy").last.click()
    await expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    await page.get_by_test_id("message-box").fill("")
    await page.get_by_test_id("message-box").press("Control+v")
    await expect(page.get_by_test_id("message-box")).to_have_value(shared[1])

    await page.reload()
    await page.get_by_test_id("copy-link").click()
    await expect(links).to_have_count(2)
    await panel.get_by_test_id("unshare").click()
    await stage.was_asked("unshare")
    await expect(page.locator("#toast")).to_contain_text("revoked")
    await page.get_by_test_id("copy-link").click()
    await expect(links).to_have_count(0)

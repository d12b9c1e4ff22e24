"""Where things stand: nothing is cut off, nothing covers a control, and what belongs together stays
together, in windows of any size."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from tests.page.acting import live, press, start
from tests.page.stage import OWNER, SESSION, Stage
from tests.page.test_states import row

PHONE = ViewportSize(width=390, height=844)
DESK = ViewportSize(width=1280, height=800)

BOX = """(one) => {
  const { x, y, width, height } = one.getBoundingClientRect();
  return [x, y, width, height];
}"""
MET = """(one) => {
  const { left, right, top, bottom } = one.getBoundingClientRect();
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  return [[x, top + 2], [x, bottom - 2], [left + 2, y], [right - 2, y]]
    .every(([x, y]) => one.contains(document.elementFromPoint(x, y)));
}"""
CUT = """(one) => {
  const { outlineStyle, outlineWidth, outlineOffset } = getComputedStyle(one);
  if (outlineStyle === "none") return "no ring";
  const by = parseFloat(outlineOffset) + parseFloat(outlineWidth) - 0.5;
  const ring = one.getBoundingClientRect();
  for (let box = one.parentElement; box; box = box.parentElement) {
    if (getComputedStyle(box).overflowX === "visible") continue;
    const { left, top, bottom } = box.getBoundingClientRect();
    const right = left + box.clientLeft + box.clientWidth;
    const beside = ring.left - by < left || ring.right + by > right;
    const over = ring.top - by < top || ring.bottom + by > bottom;
    if (beside || over) return `cut by ${box.id || box.className}`;
  }
  return "";
}"""


class Box:
    def __init__(self, x: float, y: float, width: float, height: float) -> None:
        self.left, self.top, self.right, self.bottom = x, y, x + width, y + height
        self.width, self.height = width, height
        self.middle = x + width / 2

    def meets(self, other: Box) -> bool:
        beside = self.right <= other.left or other.right <= self.left
        return not beside and self.top < other.bottom and other.top < self.bottom


async def box(one: Locator) -> Box:
    return Box(*await one.evaluate(BOX))


async def met(one: Locator) -> bool:
    """Whether a click at any of its edges is a click on it."""
    found: bool = await one.evaluate(MET)
    return found


async def stood(chromium: Browser, url: str, size: ViewportSize, **how: Any) -> Page:
    """A page of this size, whose session is live."""
    how = {"viewport": size, "reduced_motion": "reduce", **how}
    page = await (await chromium.new_context(**how)).new_page()
    await page.goto(url)
    if size["width"] < 768:
        await page.locator("#open-sidebar").click()
    await start(page)
    await live(page)
    return page


async def handheld(chromium: Browser, url: str) -> Page:
    return await stood(chromium, url, PHONE, has_touch=True, is_mobile=True)


async def queued(stage: Stage, *texts: str) -> None:
    for number, text in enumerate(texts, 2):
        ids = {"run_id": f"w{number}", "user_id": OWNER}
        question = {"message_id": f"wq{number}", "client_msg_id": f"wc{number}"}
        await stage.plays("user_message", **ids, **question, text=text)
        await stage.plays("run", **ids, message_id=f"wa{number}", status="queued", model="large")


@pytest.mark.parametrize(
    ("width", "height", "links"), [(1280, 800, 6), (320, 568, 1), (320, 200, 0), (427, 267, 2)]
)
async def test_the_share_panel_is_one_column(
    stage: Stage, chromium: Browser, width: int, height: int, links: int
) -> None:
    page = await stood(chromium, stage.url, ViewportSize(width=width, height=height))
    panel = page.locator("#share-panel")
    await page.get_by_test_id("copy-link").click()
    for number in range(links):
        stage.answers["share"] = {"ok": True, "share": f"token-{number}"}
        await page.get_by_test_id("make-link").click()
        await expect(page.get_by_test_id("share-link")).to_have_count(number + 1)
    await expect(panel).to_be_visible()
    assert await panel.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    await panel.evaluate("(one) => (one.scrollTop = 0)")
    whole = await box(panel)
    close = await box(panel.get_by_role("button", name="Close"))
    assert whole.right - close.right < 40
    assert close.top - whole.top < 20
    rows = [await box(one) for one in await panel.locator("form, li, p").all()]
    assert len(rows) == links + 2
    for above, below in pairwise(rows):
        assert above.bottom <= below.top
        assert abs(above.left - below.left) < 1
    controls = await panel.locator("button, select, input").all()
    assert len(controls) == 4 + 2 * links
    for control in controls:
        await control.evaluate("(one) => one.scrollIntoView({ block: 'center' })")
        assert await met(control)


async def test_a_menu_is_no_higher_than_its_window(stage: Stage, chromium: Browser) -> None:
    stage.rows = [row(SESSION, "Naples", 0)]
    page = await stood(chromium, stage.url, ViewportSize(width=320, height=200))
    await page.locator("#open-sidebar").click()
    await page.locator(".session .dots").focus()
    await page.keyboard.press("Enter")
    menu = page.locator("#session-menu")
    await expect(menu).to_be_visible()
    whole = await box(menu)
    assert whole.top >= 0
    assert whole.bottom <= 200
    for item in await menu.get_by_role("button").all():
        await item.focus()
        assert await met(item)


@pytest.mark.parametrize("text", ["And the third?", "And\nthe\nthird\nof\nthem\nand\nits\nend?"])
async def test_what_is_edited_in_the_queue_is_seen_whole(
    stage: Stage, chromium: Browser, text: str
) -> None:
    page = await stood(chromium, stage.url, DESK)
    await queued(stage, "And the first?", "And the second?", text)
    queue = page.get_by_test_id("queue")
    await expect(queue.locator("li")).to_have_count(3)
    await queue.get_by_role("button", name="Edit").last.click()
    for part in ("textbox", "button"):
        for one in await queue.locator("form").get_by_role(part).all():  # type: ignore[arg-type]
            assert await met(one)


@pytest.mark.parametrize("colours", ["none", "active"])
async def test_the_conversation_shows_that_it_has_the_focus(
    stage: Stage, chromium: Browser, colours: Any
) -> None:
    page = await stood(chromium, stage.url, DESK, forced_colors=colours)
    await page.locator("#more").focus()
    scroll = page.locator("#scroll")
    await page.keyboard.press("F6")
    await expect(scroll).to_be_focused()
    assert await scroll.evaluate(CUT) == ""
    shown = "(one) => getComputedStyle(one).outlineStyle"
    assert await scroll.evaluate(shown) == "solid"
    await page.get_by_test_id("message-box").click()
    await scroll.click(position={"x": 5, "y": 300})
    await expect(scroll).to_be_focused()
    assert await scroll.evaluate(shown) == "none"


@pytest.mark.parametrize("width", [1280, 390])
async def test_no_ring_at_the_side_is_cut(stage: Stage, chromium: Browser, width: int) -> None:
    stage.rows = [row(SESSION, "Naples", 0), row("2" * 8, "Figures", 1)]
    size = ViewportSize(width=width, height=800)
    page = await stood(chromium, stage.url, size, forced_colors="active")
    if width < 768:
        await page.locator("#open-sidebar").click()
    current = page.locator('.session:has([aria-current="page"])')
    await expect(current).to_be_visible()
    assert await current.evaluate(CUT) == ""
    await page.locator("#search").focus()
    for _ in range(6):
        assert await page.evaluate(f"({CUT})(document.activeElement)") == ""
        await page.keyboard.press("Tab")
    await queued(stage, "And the first?", "And the second?")
    if width >= 768:
        await press(page, "Drop")
        assert await page.evaluate(f"({CUT})(document.activeElement)") == ""


FORMULA = "$$\n" + " + ".join(f"\\frac{{a_{{{n}}}}}{{b_{{{n}}}}}" for n in range(60)) + "\n$$"


async def test_a_long_formula_is_printed_whole(stage: Stage, chromium: Browser) -> None:
    page = await stood(chromium, stage.url, DESK)
    text = f"{FORMULA}\n\n$$\nx = y\n$$"
    await stage.plays("done", status="completed", model="large", text=text)
    formulas = page.locator(".formula math")
    await expect(formulas).to_have_count(2)
    before = await box(formulas.last)
    await page.wait_for_function("document.querySelector('.formula').scrollWidth > 1000")
    await page.set_viewport_size({"width": 718, "height": 1000})  # A4, within its margins
    await page.emulate_media(media="print")
    for formula in await page.locator(".formula").all():
        assert await formula.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    cells = await page.locator(".formula mfrac").all()
    assert len(cells) == 60
    assert (await box(cells[-1])).right <= 718
    assert (await box(cells[0])).left >= 0
    assert abs((await box(formulas.last)).height - before.height) < 2


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_suggestions_stand_below_the_box(
    stage: Stage, chromium: Browser, size: ViewportSize
) -> None:
    long = "Explain what this bill says, line by line, and what of it I may well have paid before"
    stage.info["suggestions"] = [
        "Plan a journey",
        "Explain a bill",
        f"{long}, in plain words",
        long,
    ]
    page = await chromium.new_page(viewport=size)
    await page.goto(stage.url)
    buttons = page.locator("#suggestions button")
    await expect(buttons).to_have_count(4)
    typed = await box(page.get_by_test_id("message-box"))
    heading = await box(page.locator("#welcome h2"))
    assert abs(typed.middle - heading.middle) < 1
    rows: dict[float, list[Box]] = {}
    for button in await buttons.all():
        one = await box(button)
        assert typed.left <= one.left
        assert one.right <= typed.right
        rows.setdefault(one.top, []).append(one)
    for row_ in rows.values():
        assert abs((row_[0].left + row_[-1].right) / 2 - typed.middle) < 1


@pytest.mark.parametrize("width", [320, 390, 1000])
async def test_who_is_here_leaves_the_title_its_room(
    stage: Stage, chromium: Browser, width: int
) -> None:
    title = "To Naples by train, and back by ship over the whole of the sea"
    stage.rows = [row(SESSION, title, 0)]
    size = ViewportSize(width=width, height=800)
    page = await stood(chromium, stage.url, size)
    names = ["Ada Lovelace", "Grace Hopper", "Katherine Johnson", "Emmy Noether", "Mary Somerville"]
    people = [{"user_id": OWNER}, *({"user_id": name, "name": name} for name in names)]
    await stage.plays("presence", devices=6, people=people)
    await expect(page.locator("#title")).to_have_text(title)
    await expect(page.get_by_test_id("people")).to_be_visible()
    named, here = await box(page.locator("#title")), await box(page.get_by_test_id("people"))
    assert named.width >= here.width
    assert here.width > 40
    assert await met(page.locator("#more"))


async def test_the_bar_of_an_answer_leaves_no_button_alone(stage: Stage, chromium: Browser) -> None:
    page = await handheld(chromium, stage.url)
    for answer in ("a", "b"):
        if answer == "b":
            await stage.plays(
                "run", run_id="rb", message_id="b", status="started", model="large", parent="q"
            )
        ids = {"run_id": "r" if answer == "a" else "rb", "message_id": answer}
        await stage.plays("done", **ids, status="completed", model="large", text="Paid.")
    bar = page.get_by_role("group", name="Answer").last
    await expect(bar.get_by_text("2 / 2")).to_be_visible()
    tops = """(bar) => [...bar.querySelectorAll("button")].filter((one) => one.checkVisibility())
      .map((one) => one.getBoundingClientRect().top)"""  # at once: the answer may still grow
    found = await bar.evaluate(tops)
    assert len(found) == 8
    assert min(found.count(top) for top in found) > 1, found


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_a_toast_is_in_nobodys_way(
    stage: Stage, chromium: Browser, size: ViewportSize
) -> None:
    page = await stood(chromium, stage.url, size)
    call = {"tool_call_id": "t", "name": "pay", "arguments": {"to": "Ann"}}
    await stage.plays("tool_call", **call, status="awaiting_approval", approval={"editable": True})
    error = {
        "code": "invalid",
        "message": "Nobody may pay her as long as that.",
        "retryable": False,
    }
    deny = page.get_by_role("button", name="Deny", exact=True)
    toast = page.locator("#toast")
    for written in ("", "\n" * 7):
        await page.get_by_test_id("message-box").fill(written)
        stage.answers["approve"] = {"ok": False, "error": error}
        await deny.click()
        await expect(toast).to_be_visible()
        said = await box(toast)
        for control in await page.locator("#main :is(button, textarea, select)").all():
            if await control.is_visible():
                assert not said.meets(await box(control)), await control.text_content()
                assert await met(control)
        column = await box(page.locator("#scroll"))
        assert abs(said.middle - column.middle) < 10
        assert column.left <= said.left
        assert said.right <= column.right
        assert not await met(toast)  # a click goes through

"""Every state of the page, in both colours, on a desk and on a phone: axe-core finds no fault by
WCAG 2.2 AA and by its best practices, nothing is wider than the screen, and a picture of it is
kept in tests/artifacts/."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.page.acting import live, start
from tests.page.stage import OWNER, SESSION, Stage
from tests.support.process import ROOT

AXE = (ROOT / "node_modules/axe-core/axe.min.js").read_text("utf-8")
PICTURES = ROOT / "tests/artifacts/page"
RULES = {"label-content-name-mismatch": {"enabled": True}}  # beside those that axe has on
FAULTS = """async (rules) => {
  const { violations } = await axe.run(document, { rules });
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, any }) => `${id}: ${html.slice(0, 160)} ${any[0]?.message ?? ""}`));
}"""
WIDER = "document.documentElement.scrollWidth > innerWidth"

WIDE = " + ".join(f"a_{{{number}}}" for number in range(1, 40))
ANSWER = f"""Three ways lead there.

$$\\sum_{{i=1}}^{{39}} a_i = {WIDE}$$

| {" | ".join(f"column_{number}" for number in range(20))} |
|{"---|" * 20}
| {" | ".join("entry" for _ in range(20))} |

## By train

1. Take the **night train** from Vienna, which costs $89.
2. Change in Rome, and see [the timetable](https://trains.example).

| from | to | takes |
|---|---|---:|
| Vienna | Rome | 13 h |
| Rome | Naples | 1 h |

```python
def fare(stops: int) -> int:
    return 12 * stops  # euros{" and cents" * 30}
```

> Book early. It takes $a^2 + b^2 = c^2$ and `patience`.

- [x] ticket
- [ ] hotel
"""


FILE = {"id": "f", "name": "tickets.txt", "type": "text/plain", "size": 1200}


def row(session_id: str, title: str, hours: float, **more: Any) -> dict[str, Any]:
    at = int((time.time() - 3600 * hours) * 1000)
    times = {"start_time": at, "active_at": at}
    return {
        "session_id": session_id,
        "title": title,
        "status": "idle",
        "archived": False,
        "pinned": False,
        **times,
        "last_text": title,
        **more,
    }


ROWS = [
    row(SESSION, "To Naples by train, and back by ship over the whole of the sea", 0, pinned=True),
    row("2" * 8, "Quarterly figures", 1, status="awaiting_approval"),
    row("3" * 8, "A poem on rain", 2, status="running"),
    row("4" * 8, "رسالة إلى المورد", 26, unread=True),
    row("5" * 8, "Why the build fails", 90),
]


async def states(page: Page, stage: Stage, phone: bool) -> AsyncIterator[str]:
    """Brings the page from one state into the next."""
    await page.goto(stage.url)
    await expect(page.locator("#suggestions button")).to_have_count(2)
    yield "new"
    if phone:
        await page.locator("#open-sidebar").click()
        await expect(page.locator("#close-sidebar")).to_be_focused()
        yield "drawer"
    await start(page)
    await live(page)
    await expect(page.locator("#past-sessions .session")).to_have_count(len(ROWS))
    await stage.plays("session_started", user_id=OWNER, start_time=1)
    question = {
        "message_id": "q",
        "client_msg_id": "c",
        "text": "How do I get to Naples?",
        "files": [FILE],
    }
    await stage.plays("user_message", **question, user_id=OWNER, ts=int(time.time() * 1000))
    await stage.plays("run", status="started", model="large")
    await stage.plays("token", kind="reasoning", offset=0, delta="They want to go to **Naples**.")
    await expect(page.locator(".thought-line")).to_be_visible()
    yield "thinking"
    call = {"tool_call_id": "t", "name": "find_trains", "arguments": {"to": "Naples"}}
    await stage.plays("tool_call", **call, status="running")
    await stage.plays("progress", tool_call_id="t", fraction=0.4, message="Rome")
    await expect(page.get_by_role("progressbar")).to_be_visible()
    yield "running"
    await stage.plays("tool_call", **call, status="completed", output={"trains": 3, "via": "Rome"})
    book = {"tool_call_id": "b", "name": "book_ticket", "arguments": {"to": "Naples", "price": 89}}
    approval = {
        "expires_at": int(time.time() * 1000) + 600_000,
        "defaults": {"currency": "EUR"},
        "editable": True,
    }
    await stage.plays("tool_call", **book, status="awaiting_approval", approval=approval)
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    yield "approval"
    await page.get_by_role("button", name="Deny with a reason").click()
    yield "denial"
    done = {**approval, "decision": "approve", "decided_by": OWNER}
    await stage.plays("tool_call", **book, status="completed", output="booked", approval=done)
    for number in (2, 3):
        more = {"message_id": f"q{number}", "client_msg_id": f"c{number}", "user_id": OWNER}
        await stage.plays("user_message", run_id=f"r{number}", text="And a hotel?", **more)
        ids = {"run_id": f"r{number}", "message_id": f"a{number}"}
        await stage.plays("run", **ids, status="queued", model="large")
    await expect(page.get_by_test_id("queue").locator("li")).to_have_count(2)
    yield "queue"
    await stage.plays("token", kind="text", offset=0, delta=ANSWER)
    sources = [{"url": "https://trains.example", "title": "The timetable"}]
    await stage.plays("sources", message_id="a", sources=sources)
    usage = {"input_tokens": 1200, "output_tokens": 340, "cost": 0.0123}
    end = {"status": "completed", "model": "large", "finish_reason": "stop", "duration_ms": 8200}
    await stage.plays("done", **end, text=ANSWER, text_len=len(ANSWER), usage=usage)
    for number in (2, 3):
        ids = {"run_id": f"r{number}", "message_id": f"a{number}"}
        status = "failed" if number == 3 else "cancelled"
        error = {"code": "model_unavailable", "message": "The provider is overloaded."}
        await stage.plays("run", **ids, status="started", model="large")
        await stage.plays("done", **ids, status=status, model="large", text="", error=error)
    await expect(page.locator(".notice")).to_have_count(2)
    await expect(page.locator(".markdown table").last).to_be_visible()
    yield "failure"
    await page.locator("#scroll").evaluate("scroll => (scroll.scrollTop = 0)")
    await expect(page.locator(".markdown table").last).to_be_visible()
    await expect(page.locator(".markdown math").first).to_be_visible()
    yield "conversation"
    await page.locator(".tool-card summary").first.click()
    await page.get_by_role("button", name="Bad answer").first.click()
    await page.get_by_role("button", name="Details").nth(1).click()
    yield "opened"
    await page.get_by_role("button", name="Edit").first.click()
    await expect(page.get_by_label("Edit the message")).to_be_focused()
    yield "editing"
    await page.get_by_role("button", name="Cancel").last.click()
    stage.answers["share"] = {"ok": True, "share": "token"}
    await page.get_by_test_id("copy-link").click()
    await page.get_by_test_id("make-link").click()
    await expect(page.get_by_test_id("share-link")).to_be_visible()
    yield "share"
    await page.keyboard.press("Escape")
    if phone:
        await page.locator("#open-sidebar").click()
    await page.locator("#search").fill("naples")
    await expect(page.locator("#past-sessions .session")).to_have_count(1)
    yield "search"
    await page.locator("#past-sessions .dots").first.click()
    await expect(page.locator("#session-menu")).to_be_visible()
    yield "menu"
    await page.keyboard.press("Escape")
    await expect(page.locator("#session-menu")).to_be_hidden()
    await page.locator("#past-sessions .dots").first.click()  # a drawer has stayed
    await page.locator("#session-menu").get_by_role("button", name="Delete").click()
    yield "dialog"
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await page.keyboard.press("Escape")
    await stage.plays("session_ended", end_time=2, duration_seconds=184)
    await stage.plays("summary", status="done", text="The way to Naples, and its price.")
    await expect(page.get_by_test_id("summary")).to_be_visible()
    yield "past"
    await page.context.set_offline(True)
    await page.get_by_test_id("message-box").fill("And back? " + "x" * 1700)
    await page.get_by_test_id("send").click()
    await expect(page.locator("#banner")).to_be_visible()
    await page.get_by_test_id("message-box").fill("x" * 1900)
    yield "offline"
    await page.context.set_offline(False)
    stage.refusal = {"code": "not_found", "message": "no such session", "retryable": False}
    await page.evaluate("sessionStorage.clear()")
    await page.goto(f"{stage.url}c/{SESSION}")
    await expect(page.locator("#trouble")).to_be_visible()
    yield "not-found"
    stage.info["sign_in"] = {"url": "http://127.0.0.1:9", "key": "sb_publishable_x"}
    await page.goto(stage.url)
    await expect(page.get_by_test_id("email")).to_be_visible()
    yield "sign-in"


SIZES = {"desk": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}


async def reader(chromium: Browser, size: str, colours: Any) -> BrowserContext:
    phone = size == "phone"
    return await chromium.new_context(
        viewport=SIZES[size],  # type: ignore[arg-type]
        color_scheme=colours,
        has_touch=phone,
        is_mobile=phone,
        bypass_csp=True,
    )


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_each_state_is_for_everybody(
    aiohttp_server: Any, chromium: Browser, size: str, colours: str
) -> None:
    stage = Stage()
    stage.url = str((await aiohttp_server(stage.app)).make_url("/"))
    stage.rows = ROWS
    stage.info |= {
        "suggestions": ["Plan a journey", "Explain a bill"],
        "models": ["large", "small"],
        "limits": {"text_bytes": 2048, "frame_bytes": 65_536},
    }
    page = await (await reader(chromium, size, colours)).new_page()
    await page.add_init_script(AXE)
    folder = PICTURES / f"{size}-{colours}"
    folder.mkdir(parents=True, exist_ok=True)
    faults: dict[str, list[str]] = {}
    number = 0
    async for state in states(page, stage, size == "phone"):
        number += 1
        await page.screenshot(path=folder / f"{number:02}-{state}.png", animations="disabled")
        found = await page.evaluate(FAULTS, RULES)
        if await page.evaluate(WIDER):
            found.append("wider than the screen")
        if found:
            faults[state] = found
    assert number > 15
    assert not faults, json.dumps(faults, indent=1)


async def test_the_keyboard_goes_from_region_to_region(stage: Stage, chromium: Browser) -> None:
    page = await chromium.new_page()
    await page.goto(stage.url)
    await start(page)
    await live(page)
    await expect(page.get_by_test_id("message-box")).to_be_focused()
    for key, regions in (
        ("F6", ("search", "more", "scroll", "message-box")),
        ("Shift+F6", ("scroll", "more", "search")),
    ):
        for region in regions:
            await page.keyboard.press(key)
            await expect(page.locator(f"#{region}")).to_be_focused()


async def test_at_four_hundred_percent_all_is_in_reach(stage: Stage, chromium: Browser) -> None:
    page = await chromium.new_page(viewport={"width": 320, "height": 256})
    await page.goto(stage.url)
    await start_small(page)
    await stage.plays("token", kind="text", offset=0, delta="Ann has it.\n\n" * 30)
    await page.get_by_test_id("message-box").fill("What is it?")
    send = page.get_by_test_id("send")
    await send.scroll_into_view_if_needed()
    await expect(send).to_be_in_viewport(ratio=0.9)
    await send.click()
    assert (await stage.was_asked("send"))["text"] == "What is it?"
    assert not await page.evaluate(WIDER)


async def start_small(page: Page) -> None:
    await page.locator("#open-sidebar").click()
    await start(page)
    await live(page)


async def test_a_finger_meets_every_button(stage: Stage, chromium: Browser) -> None:
    page = await (await reader(chromium, "phone", "light")).new_page()
    await page.goto(stage.url)
    await start_small(page)
    small = """() => [...document.querySelectorAll("main button, main select")]
      .filter((one) => one.checkVisibility())
      .map((one) => [one.textContent || one.title || one.id, one.getBoundingClientRect()])
      .filter(([, { height, width }]) => height < 43.5 || width < 43.5)
      .map(([name, { height, width }]) => `${name} ${width}x${height}`)"""
    text = "Paid.\n\n```py\nx\n```"
    call = {"tool_call_id": "t", "name": "pay", "arguments": {"to": "Ann"}}
    approval = {"expires_at": int(time.time() * 1000) + 600_000, "editable": True}
    await stage.plays("tool_call", **call, status="awaiting_approval", approval=approval)
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    assert await page.evaluate(small) == []
    await stage.plays("tool_call", **call, status="completed", output="paid")
    await stage.plays("done", status="completed", model="large", text=text, text_len=len(text))
    await expect(page.get_by_role("group", name="Answer")).to_be_visible()
    await expect(page.get_by_role("button", name="Wrap")).to_be_visible()
    await page.locator(".tool-card summary").first.click()
    assert await page.evaluate(small) == []


async def test_in_forced_colours_what_is_mine_has_an_edge(stage: Stage, chromium: Browser) -> None:
    page = await (await chromium.new_context(forced_colors="active")).new_page()
    await page.goto(stage.url)
    await start(page)
    await expect(page.locator(".message.user")).to_have_css("border-top-style", "solid")


async def test_a_conversation_prints_on_as_many_sheets_as_it_takes(
    stage: Stage, chromium: Browser
) -> None:
    page = await chromium.new_page()
    await page.goto(stage.url)
    await start(page)
    await live(page)
    await stage.plays("token", kind="text", offset=0, delta="Ann has it.\n\n" * 200)
    await expect(page.locator(".markdown p")).to_have_count(200)
    sheets = re.findall(rb"/Type\s*/Page\b", await page.pdf())
    assert len(sheets) > 4


async def test_each_text_reads_in_its_own_direction(stage: Stage, chromium: Browser) -> None:
    page = await chromium.new_page()
    await page.goto(stage.url)
    await start(page)
    await live(page)
    arabic = "مرحبا بالعالم"
    await page.get_by_test_id("message-box").fill(arabic)
    directed = "one => getComputedStyle(one).direction"
    assert await page.get_by_test_id("message-box").evaluate(directed) == "rtl"
    question = {"message_id": "q9", "client_msg_id": "c9", "text": arabic, "user_id": OWNER}
    await stage.plays("done", status="completed", model="large", text="Paid.", text_len=5)
    await stage.plays("user_message", run_id="r9", **question)
    await stage.plays("run", run_id="r9", message_id="a9", status="started", model="large")
    said = page.locator(".message.user .text").last
    await expect(said).to_have_text(arabic)
    assert await said.evaluate(directed) == "rtl"

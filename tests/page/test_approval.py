"""A person is asked on the page of the real server: in two tabs, before a guest, over a crash."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Browser, Locator, Page, expect

from tests.page.acting import opened, say, shared, started
from tests.page.stage import Stage
from tests.support.process import ROOT, free_port, server

TOOLS = '''
from realtime.tools import tool

@tool(approval=True)
def pay(to: str, amount: int) -> str:
    """Pay somebody."""
    with open("paid.txt", "a") as effects:
        effects.write(f"{to} {amount}\\n")
    return "paid"
'''


async def answer(request: web.Request) -> web.StreamResponse:
    """A provider whose model pays Ann, and then says so."""
    if request.method == "GET":
        return web.json_response({"object": "list", "data": []})
    done = (await request.json())["messages"][-1]["role"] == "tool"
    call = {"index": 0, "id": "c", "function": {"name": "pay", "arguments": PAY}}
    delta = {"content": "Ann has it."} if done else {"tool_calls": [call]}
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for choice in (
        {"index": 0, "delta": delta},
        {"index": 0, "delta": {}, "finish_reason": "stop" if done else "tool_calls"},
    ):
        await response.write(b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode())
    await response.write(b"data: [DONE]\n\n")
    return response


PAY = '{"to": "Ann", "amount": 5}'


async def test_the_question_outlives_reload_and_crash_and_one_answer_counts(
    aiohttp_server: Any, tmp_path: Path, chromium: Browser
) -> None:
    provider = web.Application()
    provider.router.add_route("*", "/v1/{path:.*}", answer)
    (tmp_path / "money.py").write_text(TOOLS, "utf-8")
    environ = {
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path))),
        "PORT": str(free_port()),
        "OPENAI_BASE_URL": str((await aiohttp_server(provider)).make_url("/v1")),
        "OPENAI_MODEL": "some-model",
        "MODEL": "openai",
        "TOOLS": "money",
        "GRACE_SECONDS": "60",
    }
    async with server(tmp_path, **environ) as running:
        mine = await chromium.new_context()
        one, two = await started(mine, running.url), await mine.new_page()
        await say(one, "pay Ann")
        await asked(one)
        session_id = await one.locator("#session-id").text_content()
        await two.goto(f"{running.url}#session={session_id}")
        await asked(two)
        await two.reload()
        await asked(two)
        guest = await (await chromium.new_context()).new_page()
        await guest.goto(await shared(one))
        await only_shown(guest)
        running.child.kill()
        await running.ended()
    assert not (tmp_path / "paid.txt").exists()
    async with server(tmp_path, **environ):
        for page in (one, two):
            state = page.get_by_test_id("connection-state")
            await expect(state).to_have_text("Live")
            await asked(page)
        await only_shown(guest)
        await two.locator(".tool-card").get_by_role("button", name="Edit").click()
        await two.get_by_label("Arguments as JSON").fill('{"to": "Ann", "amount": "4 or so"}')
        await two.get_by_role("button", name="Approve").click()
        await expect(two.locator("#toast")).to_contain_text("amount")
        await two.get_by_label("Arguments as JSON").fill('{"to": "Ann", "amount": 4}')
        await two.get_by_role("button", name="Approve").click()
        for page, who in ((one, "you"), (two, "you"), (guest, "the owner")):
            approved = f"edited and approved by {who}"
            await expect(page.locator(".tool-card")).to_contain_text(approved)
            await expect(page.get_by_role("button", name="Approve")).to_be_hidden()
            await expect(page.locator(".message.assistant")).to_contain_text("Ann has it.")
        await say(guest, "pay her for me, too")
        for page in (one, guest):
            await asked(page)
        await expect(one.locator(".tool-card").last).to_contain_text("asked for by somebody")
        await guest.get_by_role("button", name="Deny", exact=True).last.click()
        await expect(one.locator(".tool-card").last).to_contain_text("denied by somebody")
    assert (tmp_path / "paid.txt").read_text("utf-8") == "Ann 4\n"


async def asked(page: Page) -> None:
    card = page.locator(".tool-card").last
    await expect(card).to_contain_text("waits for approval")
    await expect(card.get_by_role("group", name="Approval")).to_contain_text("amount5")
    await expect(card.get_by_role("button", name="Approve")).to_be_visible()


async def only_shown(page: Page) -> None:
    """To somebody who may not decide."""
    card = page.locator(".tool-card")
    await expect(card).to_contain_text("asked for by the owner")
    await expect(card.get_by_role("button", name="Approve")).to_be_hidden()


LINES = [f"line {number}" for number in range(40)]
CARET = "box => [box.selectionStart === box.value.length, box.scrollTop]"
WHOLE = "box => box.clientHeight >= box.scrollHeight"


async def edited(
    chromium: Browser, stage: Stage, **arguments: Any
) -> tuple[Page, Locator, Locator]:
    """A page, the card of a call there that may be changed, and the box for that, which is open."""
    page = await opened(chromium, stage.url)
    approval = {"expires_at": time.time() * 1000 + 600_000, "editable": True}
    approval["defaults"] = {"currency": "EUR"}
    call = {"tool_call_id": "t", "name": "pay", "arguments": arguments, "approval": approval}
    await stage.plays("tool_call", **call, status="awaiting_approval")
    card = page.locator(".tool-card")
    await card.get_by_role("button", name="Edit").click()
    box = card.get_by_label("Arguments as JSON")
    await expect(box).to_be_focused()
    return page, card, box


async def test_an_edit_is_left_again_and_one_that_changes_nothing_is_none(
    stage: Stage, chromium: Browser
) -> None:
    page, card, box = await edited(chromium, stage, to="Ann", amounts=[5, {"tip": 1}])
    edit = card.get_by_role("button", name="Edit")
    assert await box.evaluate(CARET) == [True, 0]
    assert await box.evaluate(WHOLE)
    await page.keyboard.press("Escape")
    await expect(box).to_be_hidden()
    await expect(edit).to_be_focused()
    await edit.click()
    await expect(edit).to_have_attribute("aria-expanded", "true")
    await page.keyboard.type(" too")
    assert (await box.input_value()).endswith("} too")
    await edit.click()
    await expect(box).to_be_hidden()
    await expect(edit).to_be_focused()
    approve = card.get_by_role("button", name="Approve")
    await approve.click()
    assert "arguments" not in await stage.was_asked("approve")
    await edit.click()
    await box.fill('{"currency":"EUR", "amounts":[5.0,{"tip":1}], "to":"Ann"}')
    await approve.click()
    assert "arguments" not in await stage.was_asked("approve")
    changed = {"to": "Ann", "amounts": {"0": 5, "1": {"tip": 1}}, "currency": "EUR"}
    await box.fill(json.dumps(changed))
    await approve.click()
    assert (await stage.was_asked("approve"))["arguments"] == changed
    await card.get_by_role("button", name="Deny with a reason").click()
    await page.keyboard.press("Escape")
    await expect(card.get_by_role("button", name="Deny with a reason")).to_be_focused()


async def test_what_is_said_of_an_act_goes_with_the_next_one(
    stage: Stage, chromium: Browser
) -> None:
    page, card, _ = await edited(chromium, stage, to="Ann")
    toast = page.locator("#toast")
    error = {"code": "bad_request", "message": "Nobody is paid today.", "retryable": False}
    stage.answers["approve"] = {"ok": False, "error": error}
    await card.get_by_role("button", name="Approve").click()
    await expect(toast).to_have_text("Nobody is paid today.")
    await card.get_by_role("button", name="Deny", exact=True).click()
    await expect(toast).to_be_hidden(timeout=2000)


async def test_a_long_edit_opens_at_its_top(stage: Stage, chromium: Browser) -> None:
    _, _, box = await edited(chromium, stage, lines=LINES)
    assert await box.evaluate(CARET) == [True, 0]
    assert not await box.evaluate(WHOLE)
    assert (await box.evaluate("box => box.clientHeight")) < 400


async def test_what_is_wrong_with_an_edit_stands_with_it_and_goes_with_it(
    stage: Stage, chromium: Browser
) -> None:
    page, card, box = await edited(chromium, stage, to="Ann")
    wrong = page.get_by_text("The arguments are not JSON.")
    for right in ('{"to": "Bob"}', None):
        await box.fill('{"to": Bob}')
        await card.get_by_role("button", name="Approve").click()
        await expect(wrong).to_be_visible()
        await expect(box).to_have_attribute("aria-invalid", "true")
        await expect(box).to_be_focused()
        if right:
            await box.fill(right)
            await expect(wrong).to_be_hidden()
            await expect(box).to_have_attribute("aria-invalid", "false")
    assert not [name for name, _ in stage.asked if name == "approve"]
    await card.get_by_role("button", name="Deny", exact=True).click()
    assert (await stage.was_asked("approve"))["decision"] == "deny"
    await stage.plays("tool_call", tool_call_id="t", name="pay", status="denied")
    await expect(wrong).to_be_hidden()

"""A person is asked on the page of the real server: in two tabs, before a guest, over a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Browser, Page, expect

from tests.page.acting import say, shared, started
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

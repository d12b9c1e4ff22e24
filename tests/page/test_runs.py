"""What the page shows of a run that waits, asks, changes its model or takes its time."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.page.acting import say, started
from tests.page.stage import OWNER, Stage

CALL = {"tool_call_id": "t", "name": "send_invoice", "arguments": {"sum": 300}}


async def watching(context: Browser | BrowserContext, stage: Stage) -> Page:
    page = await started(context, stage.url)
    await expect(page.locator(".message.user")).to_contain_text("Pay them")
    return page


def asking(tool_call_id: str = "t", **more: Any) -> dict[str, Any]:
    approval = {"expires_at": int(time.time() * 1000) + 600_000, **more}
    call = {**CALL, "tool_call_id": tool_call_id}
    return {**call, "status": "awaiting_approval", "approval": approval}


async def test_a_person_is_asked_and_everybody_sees_who_decided(
    stage: Stage, chromium: Browser
) -> None:
    one, two = [await watching(await chromium.new_context(), stage) for _ in range(2)]
    await stage.plays("tool_call", **asking())
    await stage.plays("run", status="awaiting_approval", model="large")
    for page in (one, two):
        card = page.locator(".tool-card")
        await expect(card.locator(".tool-status")).to_have_text("waits for approval")
        asked = card.get_by_role("group", name="Approval")
        await expect(asked).to_contain_text("Allow Send invoice?")
        await expect(asked).to_contain_text(re.compile("(9|10) min left"))
        await expect(asked.locator("dt, dd").filter(visible=True)).to_have_text(["sum", "300"])
        await asked.get_by_role("button", name="JSON").click()
        await expect(asked.locator("pre")).to_have_text('{\n  "sum": 300\n}')
        await expect(card.get_by_role("button", name="Approve")).to_be_visible()
        await expect(page.locator("#announcer")).to_contain_text("Send invoice waits")
    await one.reload()
    await expect(one.get_by_role("button", name="Deny", exact=True)).to_be_visible()

    await expect(one.get_by_label("Reason")).to_be_hidden()
    await one.get_by_role("button", name="Deny with a reason").click()
    await expect(one.get_by_label("Reason")).to_be_focused()
    await one.get_by_label("Reason").fill("Not this month")
    await one.get_by_label("Reason").press("Enter")
    assert await stage.was_asked("approve") == {
        "session_id": stage.log[0]["session_id"],
        "tool_call_id": "t",
        "decision": "deny",
        "reason": "Not this month",
    }
    stage.answers["approve"] = {
        "ok": False,
        "error": {
            "code": "already_resolved",
            "message": "somebody else decided",
            "retryable": False,
            "decision": "deny",
            "decided_by": OWNER,
        },
    }
    await two.get_by_role("button", name="Approve").click()
    assert (await stage.was_asked("approve"))["decision"] == "approve"
    await expect(two.locator("#toast")).to_have_text("It was denied already, by you.")

    decided = asking(decision="deny", decided_by=OWNER, reason="Not this month")
    await stage.plays("tool_call", **{**decided, "status": "denied"})
    for page in (one, two):
        status = page.locator(".tool-card .tool-status")
        await expect(status).to_have_text("denied by you: Not this month")
        await expect(page.get_by_role("button", name="Approve")).to_be_hidden()

    await expect(one.locator(".tool-card")).to_be_focused()  # its buttons are gone

    await stage.plays("tool_call", **asking(tool_call_id="late"))
    await expect(one.get_by_role("button", name="Approve")).to_be_visible()
    error = {"code": "expired", "message": "nobody decided in time", "retryable": False}
    await stage.plays(
        "tool_call", **asking(tool_call_id="late") | {"status": "expired", "error": error}
    )
    await expect(one.locator(".tool-status").last).to_contain_text("expired")
    await expect(one.get_by_role("button", name="Approve")).to_be_hidden()


async def test_arguments_that_nobody_set_are_asked_about_too(
    stage: Stage, chromium: Browser
) -> None:
    page = await watching(chromium, stage)
    await stage.plays("tool_call", **asking(defaults={"currency": "EUR"}, editable=True))
    asked = page.get_by_role("group", name="Approval")
    rows = asked.locator("dt, dd").filter(visible=True)
    await expect(rows).to_have_text(["sum", "300", "currency", "EUR by default"])
    await asked.get_by_role("button", name="Edit").click()
    await asked.get_by_label("Arguments as JSON").fill('{"sum": 300, "currency": "CHF"}')
    await asked.get_by_role("button", name="Approve").click()
    approved = await stage.was_asked("approve")
    assert approved["arguments"] == {"sum": 300, "currency": "CHF"}


async def test_a_call_is_a_line_that_opens(stage: Stage, chromium: Browser) -> None:
    page = await watching(chromium, stage)
    await stage.plays("tool_call", **CALL, status="running")
    line = page.locator(".tool-card summary")
    await expect(line).to_contain_text("Send invoice")
    await expect(line).to_contain_text("running")
    await stage.plays("tool_call", **CALL, status="completed", output={"number": 7})
    await expect(page.locator(".tool-status")).to_have_text(re.compile(r"completed, [\d.]+ s"))
    result = page.get_by_role("group", name="Result")
    rows = page.locator(".value dt, .value dd")
    await expect(rows.first).to_be_hidden()
    await line.press("Enter")
    await expect(page.locator(".tool-name")).to_have_text("send_invoice")
    await expect(rows.filter(visible=True)).to_have_text(["sum", "300", "number", "7"])
    await page.get_by_role("button", name="JSON").last.click()
    await expect(result).to_have_text('{\n  "number": 7\n}')
    await page.reload()
    await expect(page.locator(".tool-status")).to_have_text("completed")


async def test_a_tool_shows_its_progress_and_gives_its_whole_result(
    stage: Stage, tmp_path: Path, chromium: Browser
) -> None:
    stage.outputs["o1"] = '{"rows": "all of them"}'
    page = await watching(chromium, stage)
    await stage.plays("tool_call", **CALL, status="running")
    bar = page.get_by_role("progressbar")
    await expect(bar).to_be_hidden()
    await stage.plays("progress", tool_call_id="t", message="beginning")
    await expect(bar).to_have_js_property("position", -1)
    await stage.plays("progress", tool_call_id="t", fraction=0.25, message="a quarter")
    await expect(bar).to_have_attribute("value", "0.25")
    await expect(page.locator(".tool-card")).to_contain_text("a quarter")
    await stage.plays(
        "tool_call", **CALL, status="completed", output="the beginning", output_ref="o1"
    )
    await expect(bar).to_be_hidden()
    await page.locator(".tool-card summary").click()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Save the whole result").click()
    saved = await download.value
    await saved.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_text() == stage.outputs["o1"]
    assert (saved.suggested_filename, stage.fetched) == (
        "send_invoice.json",
        ["Bearer a-token"],
    )


async def test_waiting_thinking_and_another_model(stage: Stage, chromium: Browser) -> None:
    page = await watching(chromium, stage)
    answer = page.locator(".message.assistant")
    await stage.plays(
        "run", status="waiting", model="large", reason="rate_limited", retry_in_ms=12_000
    )
    await expect(answer).to_contain_text("Waiting for the model")
    await expect(answer).to_contain_text("next attempt in about 12 s")
    await stage.plays("token", kind="reasoning", offset=0, delta="They want money.")
    thought = page.locator("details.reasoning")
    await expect(thought.locator("summary")).to_have_text("They want money.")
    await stage.plays("token", kind="reasoning", offset=16, delta="\n\n**How** much?")
    await expect(thought.locator("summary")).to_have_text("How much?")
    await expect(thought).not_to_have_attribute("open", "")
    await expect(answer).not_to_contain_text("Thinking")
    await stage.plays("token", kind="text", offset=0, delta="Paid **half")
    await expect(thought.locator("summary")).to_have_text(re.compile(r"^Thought for \d+ s$"))
    await expect(thought.locator(".text")).to_be_hidden()
    await thought.locator("summary").click()
    await expect(thought.locator(".text")).to_contain_text("They want money.")
    await expect(answer).to_contain_text("Paid half")
    await stage.plays(
        "run",
        status="fallback",
        model="small",
        from_model="large",
        reason="quota_exceeded",
        reset_to=0,
    )
    await expect(answer).not_to_contain_text("half")
    await stage.plays("token", kind="text", offset=0, delta="Paid **all**.")
    done = {"status": "completed", "model": "small", "finish_reason": "stop"}
    await stage.plays("done", **done, text="Paid **all**.", text_len=13)
    await expect(answer.locator(".markdown")).to_have_text("Paid all.")
    await expect(answer).to_contain_text("large did not finish (quota_exceeded); small answers")
    await page.reload()
    await expect(thought.locator("summary")).to_have_text("Thought")
    await expect(page.get_by_test_id("stop")).to_be_hidden()


async def test_a_restart_and_a_limit_are_said(stage: Stage, chromium: Browser) -> None:
    page = await watching(chromium, stage)
    await stage.plays("server", type="draining", retry_in_ms=3000)
    await expect(page.locator("#banner")).to_contain_text("The server is restarting")
    await stage.plays("server", type="storage_away")
    await expect(page.locator("#banner")).to_contain_text("Saving is paused")
    await stage.plays("server", type="storage_back")
    await expect(page.locator("#banner")).not_to_contain_text("Saving is paused")
    stage.answers["send"] = {
        "ok": False,
        "error": {
            "code": "rate_limited",
            "message": "Ten messages a minute.",
            "retryable": True,
            "retry_after_ms": 60_000,
        },
    }
    await say(page, "one more")
    first = await stage.was_asked("send")
    pending = page.locator(".message.pending")
    await expect(pending).to_contain_text("Ten messages a minute. It is sent again at")
    await pending.get_by_role("button", name="Try again").click()
    assert await stage.was_asked("send") == first, "under the same id"


async def test_what_a_filter_refused_is_not_continued_and_a_failed_try_is(
    stage: Stage, chromium: Browser
) -> None:
    page = await watching(chromium, stage)
    notice, go_on = page.locator(".notice"), page.get_by_role("button", name="Continue")
    cut = {"status": "incomplete", "model": "large"}
    error = {"code": "content_filter", "message": "rephrase it"}
    await stage.plays("done", **cut, finish_reason="content_filter", text="", error=error)
    await expect(notice).to_have_text("Not answered: rephrase it")
    await expect(go_on).to_be_hidden()
    await stage.plays("done", **cut, finish_reason="length", text="Half")
    await expect(go_on).to_be_visible()
    await stage.plays("run", run_id="second", status="started", model="large")
    await expect(go_on).to_be_hidden()
    failed = {"status": "failed", "model": "large", "finish_reason": "error"}
    error = {"code": "model_unauthorized", "message": "not set up"}
    await stage.plays("done", run_id="second", **failed, text="Half", error=error)
    await expect(notice).to_contain_text("not set up")
    await go_on.click()
    assert (await stage.was_asked("continue"))["run_id"] == "second"


@pytest.mark.parametrize(
    "status", ["failed", "quota_exceeded", "limit", "cancelled", "interrupted", "incomplete"]
)
async def test_whatever_went_wrong_can_be_tried_again(
    stage: Stage, chromium: Browser, status: str
) -> None:
    page = await watching(chromium, stage)
    error = {"code": "model_unavailable", "message": "not today"}
    await stage.plays("done", status=status, model="large", text="", error=error)
    notice = page.locator(".notice")
    await expect(notice).to_have_attribute("data-status", status)
    await notice.get_by_role("button", name="Try again").click()
    assert (await stage.was_asked("regenerate"))["run_id"] == "r"


async def test_what_an_answer_cites_are_numbered_links(stage: Stage, chromium: Browser) -> None:
    page = await watching(chromium, stage)
    call = {"tool_call_id": "t", "name": "web_search", "status": "completed", "hosted": True}
    await stage.plays("tool_call", **call)
    hostile = '"><img src=x onerror=alert(1)>'
    await stage.plays(
        "sources",
        message_id="a",
        sources=[
            {"url": "https://a.example/?q=1", "title": hostile, "start": 0, "end": 3},
            {"url": "https://a.example/?q=1", "start": 4, "end": 9},
            {"url": "javascript:alert(1)", "title": "no link"},
            {"file_id": "file-1", "title": "a.txt"},
        ],
    )
    sources = page.get_by_label("Sources").locator("li")
    await expect(sources).to_have_text([hostile, "no link", "a.txt"])
    await expect(sources.locator("a")).to_have_attribute("href", "https://a.example/?q=1")
    await expect(sources.locator("a")).to_have_attribute("rel", "noopener noreferrer")
    await expect(page.locator(".tool-status")).to_have_text("completed, by the model's provider")


async def test_a_message_that_the_answer_took_in_stands_in_it(
    stage: Stage, chromium: Browser
) -> None:
    page = await watching(chromium, stage)
    await stage.plays("tool_call", **CALL, status="running")
    more = {"message_id": "q2", "client_msg_id": "c2", "text": "<b>in</b> euros", "steer": True}
    await stage.plays("user_message", run_id="r2", user_id=OWNER, **more)
    await stage.plays("run", run_id="r2", message_id="a2", status="queued", model="large")
    await expect(page.get_by_test_id("queue")).to_have_text("<b>in</b> euros")
    await stage.plays("tool_call", **CALL, status="completed", output="paid")
    taken = {"message_id": "a2", "status": "consumed", "consumed_by": stage.log[1]["run_id"]}
    await stage.plays("done", run_id="r2", **taken)
    await expect(page.get_by_test_id("queue")).to_be_hidden()
    await stage.plays("token", offset=0, delta="In euros.", kind="text")
    for _ in range(2):  # live, and from a snapshot
        parts = page.locator(".message.assistant .parts > *")
        await expect(parts).to_have_count(3)
        await expect(parts.nth(1)).to_have_text("<b>in</b> euros")
        await expect(parts.nth(1)).to_have_attribute("aria-label", "You")
        await expect(parts.nth(2)).to_have_text("In euros.")
        await expect(page.locator(".run")).to_have_count(1)
        await page.reload()

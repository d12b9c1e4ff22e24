"""What happens is posted to a receiver, which checks the signature with a library of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from realtime.config import ConfigError, Settings
from realtime.extensions import Webhook
from realtime.protocol import SessionEnded, ToolCall
from realtime.tools import tool
from tests.support.fetch import fetch
from tests.support.process import realtime
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve
from tests.wire.people import Devices

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """Takes what is signed, or answers with `refuse` as long as that is set."""

    def __init__(self) -> None:
        self.refuse: int | None = None
        self.asked: list[str] = []  # ids, in order
        self.taken: list[dict[str, Any]] = []
        self.url = ""
        self._more = asyncio.Condition()

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        payload = Verifier(KEY).verify(body, dict(request.headers))
        async with self._more:
            self.asked.append(request.headers["webhook-id"])
            if self.refuse is None:
                self.taken.append(payload)
            self._more.notify_all()
        headers = {"Location": "/elsewhere"} if self.refuse == 307 else {}
        return web.Response(status=self.refuse or 204, headers=headers)

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(15), self._more:
            await self._more.wait_for(true)

    @property
    def kinds(self) -> list[str]:
        return [payload["type"] for payload in self.taken]


@pytest.fixture
async def receiver(aiohttp_server: Any) -> Receiver:
    one, app = Receiver(), web.Application()
    app.router.add_post("/hooks/", one.receive)
    one.url = str((await aiohttp_server(app)).make_url("/hooks/"))
    return one


def to(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"webhook_url": receiver.url, "webhook_secret": KEY, **more}


async def test_what_matters_is_posted_and_signed(
    serve: Serve, device: Devices, receiver: Receiver
) -> None:
    model = ScriptedModel(says("hel", "lo"), says("A summary."))
    running = await serve(model, **to(receiver))
    one = device(running.url)
    session = await one.connect()
    done = await one.ask("hello")
    await one.call("end")
    await receiver.until(lambda: "summary" in receiver.kinds)
    assert receiver.kinds == ["done", "session_ended", "summary"]
    first = receiver.taken[0]
    assert first["timestamp"].endswith("Z")
    assert first["data"]["event"] == done
    assert first["data"]["event"]["text"] == "hello"
    assert first["data"]["session"]["session_id"] == session["session_id"]
    assert first["data"]["session"]["user_id"] == session["you"]
    assert len(set(receiver.asked)) == len(receiver.asked) == 3


async def test_a_call_that_awaits_approval_is_told(
    serve: Serve, device: Devices, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool(approval=True)
    def pay() -> str:
        """Pay."""
        return "paid"

    monkeypatch.setattr("realtime.example.pay", pay, raising=False)
    running = await serve(ScriptedModel(asks(("pay", "{}")), says("ok")), **to(receiver))
    one = device(running.url)
    await one.connect()
    await one.send("pay")
    await receiver.until(lambda: receiver.taken)
    event = receiver.taken[0]["data"]["event"]
    assert (receiver.kinds, event["status"]) == (["tool_call"], "awaiting_approval")
    decision = {"tool_call_id": event["tool_call_id"], "decision": "approve"}
    assert (await one.call("approve", decision))["ok"]
    await receiver.until(lambda: receiver.kinds == ["tool_call", "done"])


@pytest.mark.parametrize("status", [500, 429, 307, 404])
async def test_what_is_not_taken_comes_again_under_its_id(
    serve: Serve, device: Devices, receiver: Receiver, status: int
) -> None:
    running = await serve(ScriptedModel(says("hello")), **to(receiver))
    one = device(running.url)
    await one.connect()
    receiver.refuse = status
    await one.ask("hello")
    await receiver.until(lambda: receiver.asked)
    async with asyncio.timeout(15):
        while not (state := (await fetch(f"{running.url}/readyz")).json()["followers"])[
            "WEBHOOK_URL"
        ]["last_error"]:
            await asyncio.sleep(0.01)
    assert state["WEBHOOK_URL"]["last_error"] == f"HTTP {status}"
    assert state["WEBHOOK_URL"]["waiting"] == 1
    figures = (await fetch(f"{running.url}/metrics")).text
    assert 'realtime_event_failures_total{follower="WEBHOOK_URL"} 0.0' not in figures
    assert 'realtime_events_waiting{follower="WEBHOOK_URL"} 1.0' in figures
    receiver.refuse = None
    await one.ask("again")
    await receiver.until(lambda: len(receiver.taken) == 2)
    first, second = (payload["data"]["event"]["seq"] for payload in receiver.taken)
    assert first < second
    assert receiver.asked[0] == receiver.asked[1] != receiver.asked[2]


async def test_a_receiver_that_is_away_is_told_after_a_restart(
    serve: Serve, device: Devices, receiver: Receiver
) -> None:
    nowhere = "http://127.0.0.1:9/hooks"
    running = await serve(ScriptedModel(says("hello")), **to(receiver, webhook_url=nowhere))
    one = device(running.url)
    await one.connect()
    done = await one.ask("hello")
    await one.drop()
    await running.stop()
    await serve(ScriptedModel(says("hello")), **to(receiver))
    await receiver.until(lambda: receiver.taken)
    assert receiver.taken[0]["data"]["event"] == done


async def test_only_what_is_asked_for_is_told(
    serve: Serve, device: Devices, receiver: Receiver
) -> None:
    running = await serve(
        ScriptedModel(says("hello")), **to(receiver, webhook_events=("user_message", "done.failed"))
    )
    one = device(running.url)
    await one.connect()
    await one.ask("one")
    await one.ask("two")
    await receiver.until(lambda: len(receiver.taken) == 2)
    assert receiver.kinds == ["user_message"] * 2


def test_a_status_narrows_what_is_wanted() -> None:
    webhook = Webhook("http://a", KEY, ["tool_call.failed", "session_ended"])
    calls = {
        status: ToolCall(tool_call_id="1", name="pay", status=status)  # type: ignore[arg-type]
        for status in ("failed", "running")
    }
    assert [status for status, call in calls.items() if webhook.wants(call)] == ["failed"]
    assert webhook.wants(SessionEnded(end_time=1, duration_seconds=1))


async def test_another_secret_is_not_accepted(aiohttp_server: Any) -> None:
    refused: list[Exception] = []

    async def receive(request: web.Request) -> web.Response:
        try:
            Verifier("whsec_" + "A" * 32).verify(await request.read(), dict(request.headers))
        except WebhookVerificationError as error:
            refused.append(error)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", receive)
    webhook = Webhook(str((await aiohttp_server(app)).make_url("/")), KEY, ["done"])
    await webhook.check()
    await webhook.close()
    assert len(refused) == 1


def test_the_first_retry_comes_within_five_seconds_and_the_last_within_a_day() -> None:
    assert Webhook.pauses.after(1) <= 5
    assert Webhook.pauses.after(100) <= 2 * 3600
    assert Webhook.pauses.give_up_s == 86_400


async def test_a_check_posts_a_message_and_says_what_came_of_it(
    tmp_path: Path, receiver: Receiver
) -> None:
    environ = {"WEBHOOK_URL": receiver.url, "WEBHOOK_SECRET": KEY}
    code, told = await realtime("--check", cwd=tmp_path, **environ)
    assert (code, "ok    WEBHOOK_URL, which took a message" in told) == (0, True), told
    assert receiver.kinds == ["check"]
    receiver.refuse = 401
    code, told = await realtime("--check", cwd=tmp_path, **environ)
    assert (code, "FAIL  WEBHOOK_URL: a message of the type check" in told) == (3, True), told
    assert "not taken: HTTP 401" in told
    assert KEY not in told


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"webhook_secret": "secret"}, "WEBHOOK_SECRET must be whsec_ and the Base64"),
        ({"webhook_secret": "whsec_c2hvcnQ="}, "of 24 to 64 bytes; make one"),
        (
            {"webhook_events": ("token",)},
            "WEBHOOK_EVENTS has token; the events are session_started",
        ),
        ({"webhook_events": ("done.ready",)}, "a done has the status: completed"),
        ({"webhook_events": ("queue.done",)}, "a queue has the status: none"),
    ],
)
async def test_a_setting_that_cannot_be_used_is_told_at_the_start(
    serve: Serve, receiver: Receiver, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        await serve(**to(receiver, **changes))


def test_a_url_needs_a_secret_and_keeps_its_slash() -> None:
    with pytest.raises(ConfigError, match="WEBHOOK_SECRET is missing"):
        Settings.load({"WEBHOOK_URL": "https://a.example/hooks/"}, None)
    with pytest.raises(ConfigError, match="WEBHOOK_URL must be a URL that begins with"):
        Settings.load({"WEBHOOK_URL": "a.example/hooks?key=1", "WEBHOOK_SECRET": KEY}, None)
    settings = Settings.load(
        {"WEBHOOK_URL": "http://a.example/hooks/", "WEBHOOK_SECRET": KEY}, None
    )
    assert settings.webhook_url == "http://a.example/hooks/"
    idle = Settings.load({"WEBHOOK_SECRET": KEY}, None).notes()
    assert idle == ["WEBHOOK_SECRET has no effect with no WEBHOOK_URL"]

"""Messages that wait: changed, moved and dropped by any device, before they are asked."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from realtime.config import Settings
from realtime.models import TextDelta, UserText
from tests.support.device import Device
from tests.support.fold import fold
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve

Devices = Callable[..., Device]


class Waiting:
    """An answer that runs, and three messages that wait for it; two devices watch."""

    def __init__(self, one: Device, two: Device, runs: list[str]) -> None:
        self.one, self.two, self.runs = one, two, runs
        self.gate = asyncio.Event()
        self.model = ScriptedModel([[TextDelta("A")], self.gate, *says("!")], says("B"))

    async def change(self, device: Device, **change: Any) -> dict[str, Any]:
        return await device.call("queue", {"session_id": self.one.auth["session_id"], **change})

    def shown(self) -> list[list[str]]:
        """What waits, as the devices see it."""
        return [
            [run["user_text"] for run in fold(entries(device)) if run["status"] == "queued"]
            for device in (self.one, self.two)
        ]

    async def asked(self) -> list[str]:
        """Let everything be answered; what the model was told."""
        self.gate.set()
        for run_id in self.runs:
            await self.one.done(run_id)
        context = self.model.requests[-1].context
        return [item.text for item in context if isinstance(item, UserText)]


def entries(device: Device) -> list[dict[str, Any]]:
    return [payload | {"event": name} for _, (name, payload) in sorted(device.log.items())]


@pytest.fixture
async def queue(serve: Serve, device: Devices) -> Waiting:
    waiting = Waiting(None, None, [])  # type: ignore[arg-type]
    running = await serve(waiting.model)
    waiting.one = one = device(running.url)
    await one.connect()
    waiting.two = two = device(running.url, token=one.auth["token"])
    two.auth["session_id"] = one.auth["session_id"]
    await two.connect()
    for text in ("zero", "one", "two", "three"):
        waiting.runs.append((await one.send(text))["run_id"])
    return waiting


async def settled(queue: Waiting, *texts: str) -> None:
    await queue.two.until(lambda: queue.shown() == [list(texts)] * 2 or None)


async def test_it_is_changed_moved_and_dropped(queue: Waiting, settings: Settings) -> None:
    _, one, two, three = queue.runs
    assert (await queue.change(queue.two, edit={"run_id": two, "text": "two, better"}))["ok"]
    assert (await queue.change(queue.one, move={"run_id": three, "before": one}))["ok"]
    await settled(queue, "three", "one", "two, better")
    assert (await queue.change(queue.two, move={"run_id": three}))["ok"]
    assert (await queue.change(queue.two, drop={"run_id": one}))["ok"]
    await settled(queue, "two, better", "three")
    late = Device(queue.one.url, token=queue.one.auth["token"])
    late.auth["session_id"] = queue.one.auth["session_id"]
    waiting = (await late.connect())["queue"]
    assert [item["text"] for item in waiting] == ["two, better", "three"]
    await late.drop()
    assert await queue.asked() == ["zero", "two, better", "three"]
    with sqlite3.connect(f"file:{settings.database_path}?mode=ro", uri=True) as journal:
        said = "SELECT text FROM session_messages WHERE role = 'user' ORDER BY seq"
        texts = [text for (text,) in journal.execute(said)]
    assert sorted(texts) == ["one", "three", "two, better", "zero"], "each message is there once"


async def test_a_retry_of_what_was_changed_is_still_the_same_message(queue: Waiting) -> None:
    one = queue.one
    say = {"text": "four", "client_msg_id": "4"}
    first = await one.call("send", say)
    assert (await queue.change(one, edit={"run_id": first["run_id"], "text": "4"}))["ok"]
    retry = await one.call("send", say)
    assert (retry["status"], retry["run_id"]) == ("duplicate", first["run_id"])


async def test_what_cannot_be_changed(queue: Waiting) -> None:
    zero, one, *_ = queue.runs
    for change, code in (
        ({}, "bad_request"),
        ({"drop": {"run_id": one}, "move": {"run_id": one}}, "bad_request"),
        ({"edit": {"run_id": one, "text": " "}}, "bad_request"),
        ({"edit": {"run_id": one, "text": "x" * 20_000}}, "too_large"),
        ({"edit": {"run_id": zero, "text": "x"}}, "already_done"),
        ({"move": {"run_id": zero}}, "already_done"),
        ({"drop": {"run_id": zero}}, "already_done"),
        ({"move": {"run_id": one, "before": zero}}, "already_done"),
        ({"move": {"run_id": one, "before": "no such"}}, "not_found"),
        ({"drop": {"run_id": "no such"}}, "not_found"),
    ):
        ack = await queue.change(queue.one, **change)
        assert ack["error"]["code"] == code, change
    await settled(queue, "one", "two", "three")


@pytest.mark.parametrize("access", ["full", "read", None])
async def test_who_may(queue: Waiting, device: Devices, access: str | None) -> None:
    """Whoever changes a message asks it: it is done with their rights."""
    one, guest = queue.one, device(queue.one.url, name="Bob")
    you = (await guest.connect())["you"]
    session_id = one.auth["session_id"]
    if access:
        share = (await one.call("share", {"access": access}))["share"]
        assert (await guest.call("join", {"session_id": session_id, "share": share}))["ok"]
    ack = await queue.change(guest, edit={"run_id": queue.runs[1], "text": "theirs"})
    code = {"full": None, "read": "forbidden", None: "not_found"}[access]
    assert ack.get("error", {}).get("code") == code
    if ack["ok"]:
        said = one.events("user_message", run_id=queue.runs[1])[-1]
        assert (said["user_id"], said.get("name")) == (you, "Bob"), "whose words they are"
    await queue.asked()
    done = await one.done(queue.runs[1])
    assert done["user_id"] == (you if access == "full" else one.session["you"])

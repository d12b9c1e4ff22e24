"""What one client sends must not harm the others, nor the next start."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from tests.support.recorder import Lost, Recorder
from tests.support.world import World, world

ODD: dict[str, dict[str, Any]] = {
    "half a surrogate pair as id": {"client_msg_id": "\ud800"},
    "a zero character as id": {"client_msg_id": "a\0b"},
    "half a pair in a field": {"\ud800": 1},
    "never": {"on_abandon": {"cancel_after_s": float("inf")}},
    "no number": {"on_abandon": {"cancel_after_s": float("nan")}},
    "longer than time": {"on_abandon": {"cancel_after_s": 1e300}},
    "before now": {"on_abandon": {"cancel_after_s": -5}},
}


async def tried(scene: World, device: Recorder, odd: dict[str, Any]) -> dict[str, Any] | None:
    with contextlib.suppress(Lost, TimeoutError):
        async with asyncio.timeout(15):
            return await device.send("tokens 500 rate 200", **odd)
    return None


async def test_odd_sends_are_refused_and_harm_nobody(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="600") as scene:
        other = await scene.device("stock", straight=True)
        senders = {what: await scene.device("raw", straight=True) for what in ODD}
        for what, one in senders.items():
            ack = await tried(scene, one, ODD[what])
            again = await other.send("tokens 3 rate 0")
            assert (await other.done(again["run_id"], 10))["status"] == "completed", "others go on"
            assert ack is not None, f"{what}: it is answered"
            assert ack["ok"] or ack["error"]["code"] == "bad_request", (what, ack)
            await one.close()
        await scene.restart()
        for one in senders.values():
            await one.back()
            await one.done((await one.say("tokens 3 rate 0"))["run_id"])


async def test_odd_commands_are_no_fault_of_ours(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        one = await scene.device("raw", straight=True)
        for command, payload in (
            ("history", {"before_seq": 10**30}),
            ("history", {"before_seq": -1}),
            ("join", {"session_id": "\ud800"}),
            ("join", {"epoch": 10**30, "after_seq": 10**30}),
            ("stop", {"run_id": "\ud800"}),
            ("continue", {"run_id": "\0"}),
        ):
            ack = await one.call(command, **payload)
            assert ack["ok"] or ack["error"]["code"] in ("bad_request", "not_found"), (command, ack)
        assert "Traceback" not in scene.process.output

"""What workers tell each other may be lost: nothing is built on it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from tests.faults import scenarios
from tests.support.cluster import Cluster, cluster
from tests.support.device import Device
from tests.support.recorder import Recorder
from tests.workers.test_owners import at, elsewhere

LOSSY = """
import runpy, sys
from realtime.cluster.workers import Workers
hear, heard = Workers.hear, 0
def some(self, frame):
    global heard
    heard += 1
    if heard % 10:
        hear(self, frame)
Workers.hear = some
sys.argv = ["realtime"]
runpy.run_module("realtime", run_name="__main__", alter_sys=True)
"""

DEAF = """
import runpy, sys
from realtime.cluster import workers
hear = workers.Workers.hear
workers.Workers.hear = lambda self, frame: frame[:1] in b"TX" or hear(self, frame)
sys.argv = ["realtime"]
"""
"""Never told what others wrote or deleted."""

RUN = 'runpy.run_module("realtime", run_name="__main__", alter_sys=True)'
BLIND = "workers.LOOK_S = 1e9\n"
"""Nor looks."""


async def out(guest: Device) -> None:
    async with asyncio.timeout(20):
        await guest.client.wait()


async def guest_elsewhere(world: Cluster, owner: Recorder) -> tuple[Recorder, Device]:
    """A device of the owner's on another worker, and one of somebody with a share."""
    share = (await owner.call("share"))["share"]
    other: Recorder = await elsewhere(world, owner)
    guest = Device(other.url, session_id=owner.auth["session_id"], share=share)
    assert (await guest.connect())["access"] == "full"
    return other, guest


async def test_every_tenth_frame_is_lost(tmp_path: Path) -> None:
    async with cluster(tmp_path, 5, sys.executable, "-c", LOSSY) as world:
        verdict = await scenarios.retries(world, 5)
        verdict += await scenarios.cuts(world, 30)
        verdict.hold()
        first = await world.device("raw", straight=True)
        other = await elsewhere(world, first)
        for turn in range(3):
            ack = await other.say(f"tokens 200 rate 200 lossy {turn}")
            for device in (first, other):
                await device.done(ack["run_id"])
        (await world.verdict()).hold()
        assert first.connects == other.connects == 1


async def test_a_change_of_the_shares_is_seen_without_being_told(tmp_path: Path) -> None:
    async with cluster(tmp_path, 0, sys.executable, "-c", DEAF + RUN) as world:
        owner = await world.device("raw", straight=True)
        other, guest = await guest_elsewhere(world, owner)
        assert (await owner.call("unshare"))["ok"]
        await out(guest)
        assert (await guest.connect())["error"]["code"] == "not_found"
        await guest.drop()
        guest.auth["share"] = (await owner.call("share"))["share"]

        async def let_in() -> dict[str, Any]:
            while "error" in (session := await guest.connect()):
                await guest.drop()
                await asyncio.sleep(0.2)
            return session

        async with asyncio.timeout(20):
            assert (await let_in())["access"] == "full"
        await guest.drop()
        assert other.connects == 1


async def test_the_writer_carries_out_nothing_by_a_void_share(tmp_path: Path) -> None:
    async with cluster(tmp_path, 0, sys.executable, "-c", DEAF + BLIND + RUN) as world:
        owner = await world.device("raw", straight=True)
        other, guest = await guest_elsewhere(world, owner)
        assert (await guest.send("tokens 5 rate 0 a guest"))["ok"]
        assert (await owner.call("unshare"))["ok"]
        for command, given in (
            ("send", {"text": "tokens 5 rate 0 shut out", "client_msg_id": "late"}),
            ("select", {"message_id": "any"}),
            ("stop", {}),
            ("end", {}),
        ):
            refused = await guest.call(command, given)
            assert refused["error"]["code"] == "not_found", command
        assert guest.client.connected, "its worker knows of nothing"
        ack = await other.send("tokens 5 rate 0 the owner")
        await owner.done(ack["run_id"])
        said = [entry["text"] for entry in owner.events("user_message")]
        assert said == ["tokens 5 rate 0 a guest", "tokens 5 rate 0 the owner"]
        assert not owner.events("session_ended")
        await guest.drop()


async def test_who_takes_over_shows_out_whose_share_is_void(tmp_path: Path) -> None:
    async with cluster(tmp_path, 0, sys.executable, "-c", DEAF + BLIND + RUN) as world:
        owner = await world.device("raw", straight=True)
        other, guest = await guest_elsewhere(world, owner)
        await world.kill(next(one for one in world.ports if one not in (at(owner), at(other))))
        assert (await owner.call("unshare"))["ok"]
        await world.kill(at(owner))
        await out(guest)
        assert (await guest.connect())["error"]["code"] == "not_found"
        await guest.drop()
        assert other.connects == 1


async def test_what_is_deleted_is_gone_without_being_told(tmp_path: Path) -> None:
    async with cluster(tmp_path, 0, sys.executable, "-c", DEAF + RUN) as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        third = await world.device("raw", of=owner, straight=True)
        assert (await other.call("delete"))["ok"]
        for device in (owner, third):
            errors = await device.until(
                lambda device=device: [p for name, p in device.notices if name == "session"] or None
            )
            assert errors[0]["error"]["code"] == "not_found"

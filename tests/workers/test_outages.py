"""The engine goes away, or comes back with less than it had: answers go on where they were."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, cluster

Fault = Callable[[Cluster], Awaitable[None]]
AWAY_S = 9.0  # longer than a lease


async def frozen(world: Cluster) -> None:
    world.engine.freeze()
    await asyncio.sleep(AWAY_S)
    world.engine.thaw()


async def killed(world: Cluster) -> None:
    world.engine.kill()
    await asyncio.sleep(2)
    await asyncio.to_thread(world.engine.start)


async def emptied(world: Cluster) -> None:
    """It has no file to read."""
    await killed(world)


async def set_back(world: Cluster) -> None:
    """It comes back as it was 1.5 s before it died."""
    world.engine.tell("SAVE")
    await asyncio.sleep(1.5)
    await killed(world)


async def flushed(world: Cluster) -> None:
    world.engine.flushall()


async def deafened(world: Cluster) -> None:
    for _ in range(5):
        world.engine.tell("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.3)


@pytest.mark.parametrize("fault", [frozen, killed, emptied, set_back, flushed, deafened])
async def test_an_answer_goes_on(tmp_path: Path, fault: Fault) -> None:
    keeps = fault not in (emptied, set_back)
    async with cluster(tmp_path, seed=3, appendonly=keeps) as world:
        first = await world.device("raw", straight=True)
        for make in ("stock", "raw", "stock"):
            await world.device(make, of=first, straight=True)
        idle = await world.device("raw", straight=True)
        ack = await idle.say("tokens 20 rate 0 before")
        await idle.done(ack["run_id"])
        ack = await first.say("tokens 900 rate 150 one that goes on")
        await first.reaches(first.last_seq + 100)
        await fault(world)
        done = await first.done(ack["run_id"], 60)
        assert done["status"] == "completed"
        again = await idle.say("tokens 20 rate 0 after")
        await idle.done(again["run_id"])
        verdict = await world.verdict()
        verdict.hold()
        assert all(device.epoch == 1 for device in world.devices), "nobody took over"
        assert all(page["recovered"] for device in world.devices for page in device.pages[1:])

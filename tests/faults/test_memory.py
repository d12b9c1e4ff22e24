"""Bounded: sessions that have ended leave nothing in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.oracle import rows
from tests.support.world import World, world


def resident(scene: World) -> int:
    """Bytes of the server's memory."""
    status = Path(f"/proc/{scene.process.child.pid}/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


async def spoken(scene: World, count: int) -> None:
    """So many sessions with one answer each, eight at a time, all ended."""
    slots = asyncio.Semaphore(8)

    async def one() -> None:
        async with slots:
            device = scene.stranger()
            await device.start()
            ack = await device.send("tokens 40 rate 0")
            await device.done(ack["run_id"])
            assert (await device.call("end"))["ok"]
            await device.close()

    await asyncio.gather(*(one() for _ in range(count)))
    await settled(scene)


async def settled(scene: World) -> None:
    """Every session is ended, summed up where something was said, and out of memory."""
    open_ones = """SELECT 1 FROM sessions WHERE end_time IS NULL OR summary_status = 'pending'"""
    async with asyncio.timeout(20):
        while rows(scene.path, open_ones) or (await scene.ready())["sessions"]:
            await asyncio.sleep(0.05)


async def test_ended_sessions_leave_memory(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="0") as scene:
        await spoken(scene, 150)
        grown = []
        while not grown or (grown[-1] >= 4 * 2**20 and len(grown) < 3):  # a leak grows each time
            before = resident(scene)
            await spoken(scene, 300)
            grown.append(resident(scene) - before)
        assert grown[-1] < 4 * 2**20, f"{grown} bytes for 300 sessions each"
        state = await scene.ready()
        assert (state["sessions"], state["devices"]) == (0, 0)
        assert rows(scene.path, "SELECT count(*) FROM sessions WHERE summary IS NULL") == [(0,)]


async def test_sessions_nobody_spoke_in_leave_memory(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="0") as scene:
        for _ in range(60):
            device = scene.stranger()
            await device.start()
            await device.close()
        await settled(scene)
        assert not scene.upstream.tapes, "nothing was said, nothing is summed up"

"""What workers that share an engine ship to Supabase, and read back from there."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from realtime.log.hot.keeper import HotLog
from realtime.log.hot.line import Line
from tests.support.cluster import PREFIX, Cluster, cluster
from tests.support.supabase_lite import SupabaseLite


async def until(project: SupabaseLite, sql: str, wanted: str, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while (got := await asyncio.to_thread(project.psql, sql)) != wanted:
            await asyncio.sleep(0.1)
    assert got == wanted


async def evict(world: Cluster) -> int:
    """Forget what has ended, as a worker does after a quarter of an hour."""
    lines = [Line(world.engine.address, name) for name in ("evict-log", "evict-side")]
    for line in lines:
        await line.start()
    keeper = HotLog(*lines, PREFIX, "evicting")
    try:
        return await keeper.evict(time.time_ns() // 1_000_000)
    finally:
        await keeper.close()


async def test_sessions_go_to_supabase_and_come_back(project: SupabaseLite, tmp_path: Path) -> None:
    given = {"SUPABASE_URL": project.url, "SUPABASE_KEY": project.secret_key}
    async with cluster(tmp_path, GRACE_SECONDS="1", **given) as world:
        devices = [await world.device("raw") for _ in range(5)]
        for number, device in enumerate(devices):
            for turn in range(2):
                ack = await device.say(f"tokens 60 rate 0 turn {turn} of {number}")
                await device.done(ack["run_id"])
        await world.kill()
        ids = {device.auth["session_id"]: device for device in devices}
        named = ", ".join(f"'{one}'" for one in ids)
        for device in devices:
            await device.close()
        ended = f"select count(*) from sessions where session_id in ({named}) and summary <> ''"
        await until(project, ended, "5", 40)
        for session_id, entries in (await world.logs()).items():
            rows = f"select max(seq), count(*) from session_events where session_id='{session_id}'"
            await until(project, rows, f"{entries[-1]['seq']}|{len(entries)}")
        async with asyncio.timeout(20):
            while await evict(world) == 0 or await world.logs():
                await asyncio.sleep(0.5)
        keys = [key.decode() for key in world.engine.tell("KEYS", "*")]
        left = [key for key in keys if any(session_id in key for session_id in ids)]
        assert not left, "an ended session leaves no key behind"
        for device in devices:
            await device.back()
            ack = await device.say("tokens 10 rate 0 after all that")
            await device.done(ack["run_id"])
            said = [entry["text"] for entry in device.entries if entry["event"] == "user_message"]
            assert len(said) == 3
        (await world.verdict()).hold()

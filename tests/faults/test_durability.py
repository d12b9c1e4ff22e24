"""Each durability mode at its word, under kill -9."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.support.fold import fold
from tests.support.oracle import journal
from tests.support.upstream import TOKEN
from tests.support.world import world


@pytest.mark.parametrize("mode", ["sync", "fsync"])
async def test_nothing_is_lost_when_the_process_dies(tmp_path: Path, mode: str) -> None:
    async with world(tmp_path, seed=5, DURABILITY=mode) as scene:
        (await scenarios.kills(scene, 2)).hold()


async def test_async_may_lose_a_little_and_says_so_by_a_new_epoch(tmp_path: Path) -> None:
    """What was acked is kept; what a device saw beyond the journal is dropped with its state."""
    async with world(tmp_path, seed=6, DURABILITY="async") as scene:
        one = await scene.device("raw")
        two = await scene.device("stock", of=one)
        for turn in range(5):
            ack = await one.say(f"tokens 2000 rate 1000 turn {turn}")
            await one.until(lambda a=ack: len(one.events("token", run_id=a["run_id"])) > 20 or None)
            epoch = one.epoch
            await scene.restart()
            for device in (one, two):
                done = await device.done(ack["run_id"], 10)
                assert done["status"] == "interrupted"
                assert device.epoch == epoch + 1
                assert device.pages[-1]["mode"] in ("snapshot", "replay")
            log = journal(scene.path)[one.auth["session_id"]]
            assert fold(one.entries) == fold(two.entries) == fold(log)
            for run in fold(log):
                numbers = [int(n) for n in TOKEN.findall(run["text"])]
                assert numbers == list(range(1, len(numbers) + 1)), (
                    "its end may be missing, no more"
                )

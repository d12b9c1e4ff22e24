"""What workers tell each other may be lost: nothing is built on it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.faults import scenarios
from tests.support.cluster import cluster
from tests.workers.test_owners import elsewhere

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

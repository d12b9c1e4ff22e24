"""Answers that a dead process left go on by themselves, exactly where they broke off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.recorder import Recorder
from tests.support.upstream import numbered
from tests.support.world import World, world

ON = {"CONTINUE_AUTOMATICALLY": "true"}


async def speaks(one: Recorder, count: int) -> None:
    """Until so many tokens were shown."""

    def shown() -> bool | None:
        return sum(len(e["delta"]) for e in one.events("token")) >= 8 * count or None

    await one.until(shown)


async def ends(one: Recorder, run_id: str) -> list[dict[str, Any]]:
    found = [await one.done(run_id)]
    while next_id := found[-1].get("continued_by"):
        found.append(await one.done(next_id))
    return found


async def killed(scene: World, one: Recorder, count: int) -> None:
    await speaks(one, count)
    await scene.restart()


async def test_kill_9_twice_in_one_answer(tmp_path: Path) -> None:
    async with world(tmp_path, **ON) as scene:
        one = await scene.device("raw")
        two = await scene.device("stock", of=one)
        asked = "tokens 900 rate 300 gate x at 600"
        run_id = (await one.send(asked))["run_id"]
        await killed(scene, one, 100)
        await killed(scene, one, 300)
        await speaks(one, 600)
        scene.upstream.gate("x").set()
        for device in (one, two):
            found = await ends(device, run_id)
            assert [end["status"] for end in found] == ["interrupted", "interrupted", "completed"]
            assert found[-1]["text"] == numbered(900)
        assert [tape.first > 1 for tape in scene.upstream.asked(asked)] == [False, True, True]
        (await scene.verdict()).hold()


async def test_a_third_crash_leaves_it_to_a_person(tmp_path: Path) -> None:
    async with world(tmp_path, **ON) as scene:
        one = await scene.device("raw")
        run_id = (await one.send("tokens 900 rate 300 gate x at 600"))["run_id"]
        for count in (50, 150, 250):
            await killed(scene, one, count)
        found = await ends(one, run_id)
        assert [end["status"] for end in found] == ["interrupted"] * 3
        again = await one.call("continue", run_id=found[-1]["run_id"])
        scene.upstream.gate("x").set()
        assert (await one.done(again["run_id"]))["text"] == numbered(900)
        (await scene.verdict()).hold()


async def test_sigterm_in_mid_answer(tmp_path: Path) -> None:
    async with world(tmp_path, DRAIN_SECONDS="0.2", **ON) as scene:
        one = await scene.device("raw")
        run_id = (await one.send("tokens 400 rate 0 gate x at 200"))["run_id"]
        await speaks(one, 200)
        scene.process.child.terminate()
        assert await scene.process.ended() == 0
        await scene.restart()
        scene.upstream.gate("x").set()
        found = await ends(one, run_id)
        assert [end["status"] for end in found] == ["interrupted", "completed"]
        assert found[-1]["text"] == numbered(400)
        (await scene.verdict()).hold()

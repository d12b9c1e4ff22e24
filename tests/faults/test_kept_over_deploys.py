"""OPENAI_BACKGROUND over deploys: at the end of the drain an answer that the provider keeps is left
there, and the next process reads the rest of it in the same run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.keeping import (
    SECRET_ID,
    WORDS,
    Keeper,
    call,
    keeping,
    said,
    shows,
    thought,
    whole,
)
from tests.support.world import World

SOON = "0.2"


async def deploy(scene: World) -> None:
    """SIGTERM, and the next process in its place."""
    scene.process.child.terminate()
    assert await scene.process.ended() == 0
    await scene.restart()


async def cancelled(keeper: Keeper) -> list[str]:
    async with asyncio.timeout(10):
        while not keeper.cancelled:
            await asyncio.sleep(0.01)
    return keeper.cancelled


async def test_the_rest_is_read_after_each_deploy(tmp_path: Path) -> None:
    first, second = WORDS[:10], WORDS[10:]
    answer = [*thought("Hm. ", "So."), *said(first, 1), *said(second, 2)]
    async with keeping(tmp_path, answer, DRAIN_SECONDS=SOON) as (scene, keeper):
        one = await scene.device("raw")
        two = await scene.device("stock", of=one)
        run_id = (await one.send("go"))["run_id"]
        stops = [(3, "Hm. ", "reasoning"), (9, first[2], "text"), (24, second[6], "text")]
        for count, shown, kind in stops:
            await keeper.make(count)
            await shows(one, shown, kind)
            await deploy(scene)
        await keeper.make(100)
        await whole(keeper, (one, two), run_id, first, second)


async def test_a_deploy_before_the_first_word(tmp_path: Path) -> None:
    async with keeping(tmp_path, said(WORDS), DRAIN_SECONDS=SOON) as (scene, keeper):
        one = await scene.device("raw")
        run_id = (await one.send("go"))["run_id"]
        await keeper.make(1)
        await one.until(lambda: one.events("run", status="resumed") or None)
        await deploy(scene)
        await keeper.make(100)
        done = await one.done(run_id)
        assert (done["status"], done["text"]) == ("completed", "".join(WORDS))
        assert (len(keeper.asked), keeper.cancelled) == (1, [])


async def test_an_answer_that_ends_within_the_drain_is_not_left(tmp_path: Path) -> None:
    async with keeping(tmp_path, said(WORDS)) as (scene, keeper):
        one = await scene.device("raw")
        run_id = (await one.send("go"))["run_id"]
        await keeper.make(12)
        await shows(one, WORDS[9])
        scene.process.child.terminate()
        await keeper.make(100)
        assert (await one.done(run_id))["text"] == "".join(WORDS)
        assert await scene.process.ended() == 0
        await scene.start()
        assert (keeper.read, keeper.cancelled) == ([], [])


async def test_what_waits_behind_it_is_answered_afterwards(tmp_path: Path) -> None:
    answers = (said(WORDS), said(["Yes."]))
    async with keeping(tmp_path, *answers, DRAIN_SECONDS=SOON) as (scene, keeper):
        one = await scene.device("raw")
        first = (await one.send("go"))["run_id"]
        await keeper.make(12)
        await shows(one, WORDS[9])
        second = (await one.send("and then?"))["run_id"]
        await deploy(scene)
        await keeper.make(100)
        assert (await one.done(first))["text"] == "".join(WORDS)
        assert (await one.done(second))["text"] == "Yes."
        assert len(keeper.asked) == 2


@pytest.mark.parametrize("draining", [False, True])
async def test_a_stop_still_cancels_it_there(tmp_path: Path, draining: bool) -> None:
    """Before the deploy, or while the server drains."""
    async with keeping(tmp_path, said(WORDS)) as (scene, keeper):
        one = await scene.device("raw")
        run_id = (await one.send("go"))["run_id"]
        await keeper.make(12)
        await shows(one, WORDS[9])
        if draining:
            scene.process.child.terminate()
            await scene.process.says("Draining")
        assert (await one.call("stop"))["status"] == "cancelled"
        assert await cancelled(keeper) == [SECRET_ID]
        if not draining:
            await deploy(scene)
        else:
            assert await scene.process.ended() == 0
            await scene.start()
        assert (await one.done(run_id))["status"] == "cancelled"
        assert keeper.read == []


DESK = """
import asyncio
from realtime.tools import tool

@tool
async def look(a: int) -> str:
    "Look something up."
    await asyncio.sleep(60)
    return "seen"
"""


async def test_a_call_that_was_running_ends_as_ever(tmp_path: Path) -> None:
    """The answer at the provider is over; what is under way is ours."""
    (tmp_path / "desk.py").write_text(DESK)
    answers = ([*said(["I look. "]), *call("look", 1)], said(["Seen."]))
    settings = {"TOOLS": "desk", "DRAIN_SECONDS": SOON}
    async with keeping(tmp_path, *answers, **settings) as (scene, keeper):
        one = await scene.device("raw")
        run_id = (await one.send("go"))["run_id"]
        await keeper.make(100)
        await one.until(lambda: one.events("tool_call", status="running") or None)
        await deploy(scene)
        assert (await one.done(run_id))["status"] == "interrupted"
        assert keeper.read == []
